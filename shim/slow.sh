# What the stub does where it is not at once satisfied: have the helper do its work, and put together what the command is
# to be given. Read by it from the folder of the helper; not for itself.
# shellcheck shell=sh disable=SC2154

# start ARGUMENT…: all that is left to do; does not return.
portshim_start() {
	portshim_drop=''
	[ -z "$portshim_signal" ] || portshim_die
	if [ -z "$portshim_satisfied" ]; then
		portshim_ask_helper "$@"
		if [ -n "${PORTSHIM_USER-}" ] || portshim_asked_for user "$@"; then portshim_ask_drop "$@"; fi
		# For what it finds of the environment.
		portshim_read
	fi
	while [ "$1" != -- ]; do shift; done
	shift
	portshim_become "$@"
}

# ask_helper ARGUMENT…: has the helper do what is to be done, and returns only where the command is to be started.
portshim_ask_helper() {
	portshim_node=$(command -v node || command -v nodejs) ||
		portshim_do_without "there is no Node.js here, and portshim needs version 20 or later to ask the host" "$@" || return 0
	portshim_main=$portshim_lib/lib/main.js
	[ -f "$portshim_main" ] || portshim_main=$portshim_lib/main.js
	[ -f "$portshim_main" ] || portshim_do_without "its helper is missing: $portshim_main" "$@" || return 0
	[ -z "$portshim_signal" ] || portshim_die
	portshim_run_helper '' "$@" &
	portshim_helper=$!
	portshim_status=0
	{
		[ -n "$portshim_signal" ] || wait "$portshim_helper" || portshim_status=$?
		# A signal ends wait, not the helper; and a subshell that has not yet dropped our traps loses it: so once more.
		while [ -n "$portshim_signal" ] && kill -TERM "$portshim_helper"; do PATH=$portshim_path command sleep 0.05 || command sleep 1; done
	} 2>/dev/null
	portshim_helper=''
	[ -z "$portshim_signal" ] || portshim_die
	case $portshim_status in
	0) ;;
	100) exit 0 ;;
	102) exit 1 ;;
	103) exit 2 ;;
	104) exit 127 ;;
	101) portshim_do_without "the Node.js here is older than version 20" "$@" || : ;;
	126 | 127) portshim_do_without "the Node.js here, $portshim_node, cannot be started" "$@" || : ;;
	125 | 129 | 130 | 131 | 143) exit "$portshim_status" ;;
	*) portshim_do_without "its helper ended with status $portshim_status" "$@" || : ;;
	esac
}

# run_helper QUESTION ARGUMENT…: becomes the helper; only for a subshell. The question is empty, or drop: how to become
# the user that --user names.
portshim_run_helper() {
	PORTSHIM_ASK=$1
	shift
	# They are meant for the server: NODE_OPTIONS runs code, NODE_CHANNEL_FD takes the first message.
	IFS=$portshim_newline
	# shellcheck disable=SC2046
	unset $(PATH=$portshim_path && env | grep -o '^NODE_[A-Za-z0-9_]*')
	PORTSHIM_STUB=$$
	export PORTSHIM_ASK PORTSHIM_STUB
	exec "$portshim_node" "$portshim_main" "$@"
}

# asked_for NAME ARGUMENT…: true where the options before -- hold --NAME.
portshim_asked_for() {
	portshim_name=--$1
	while shift && [ $# -gt 0 ] && [ "$1" != -- ]; do
		case $1 in "$portshim_name" | "$portshim_name="*) return 0 ;; esac
	done
	return 1
}

# do_without WHY ARGUMENT…: says why there is no helper, and what helps; returns false with --optional, else exits.
portshim_do_without() {
	case $portshim_wanted in '' | *[!0-9]*) portshim_wanted=${portshim_asked:-80} ;; esac
	portshim_say "$1. Run this on the host, then start again:
    sudo sysctl -w net.ipv4.ip_unprivileged_port_start=$portshim_wanted"
	shift
	# portshim check and persist start nothing.
	portshim_word=''
	for portshim_word; do [ "$portshim_word" != -- ] || break; done
	[ "$portshim_word" = -- ] || exit 125
	# A server that was to be dropped never runs as root.
	if [ -n "${PORTSHIM_USER-}" ] || portshim_asked_for user "$@"; then exit 125; fi
	[ "${PORTSHIM_OPTIONAL-}" = 1 ] || portshim_asked_for optional "$@" || exit 125
	portshim_say 'Starting the command all the same, because of --optional.'
	return 1
}

portshim_say() {
	printf 'portshim: %s\n' "$1" >&2
}

# ask_drop ARGUMENT…: sets portshim_home and portshim_drop, a word a line, to what makes us the user that --user names.
# Becomes the helper where that has to do it.
portshim_ask_drop() {
	portshim_status=0
	portshim_drop=$(portshim_run_helper drop "$@") || portshim_status=$?
	[ "$portshim_status" -eq 100 ] || exit 125
	[ "$portshim_drop" != node ] || exec "$portshim_node" "$portshim_main" "$@"
	portshim_home=${portshim_drop%%"$portshim_newline"*}
	portshim_drop=${portshim_drop#*"$portshim_newline"}
}

# become COMMAND ARGUMENT…: becomes the command, with the environment that we were given.
portshim_become() {
	case $1 in '' | -*) portshim_say "the command after -- must not be empty or start with a dash" && exit 125 ;; esac
	if [ -n "$portshim_mangled" ]; then
		case $1 in *=*) portshim_say "env(1) cannot start a command with a = in its name: $1" && exit 125 ;; esac
		portshim_whole=$(portshim_quote_environment)
		# Without od there is nothing to hand on but what the shell has kept.
		[ -z "$portshim_whole" ] || eval "set -- $portshim_whole"' ${portshim_drop:+"HOME=$portshim_home"} "$@"'
		[ -z "$portshim_whole" ] || PATH=$portshim_path
	else
		portshim_put_back
	fi
	if [ -n "$portshim_drop" ]; then
		export HOME="$portshim_home"
		IFS=$portshim_newline
		set -f
		# shellcheck disable=SC2086
		set -- $portshim_drop "$@"
		set +f
		IFS=$portshim_ifs
	fi
	portshim_exec "$@"
}

# quote_environment: `env -i` with the environment that we were given, as words for the shell; nothing without od.
portshim_quote_environment() {
	portshim_bytes=$(PATH=$portshim_path command od -An -v -to1 "/proc/$$/environ" </dev/null 2>/dev/null) || return 0
	printf 'env -i '
	IFS=" $portshim_newline" portshim_name='' portshim_in_value=''
	for portshim_byte in $portshim_bytes; do
		case $portshim_in_value$portshim_byte in
		yes000) printf "' " && portshim_in_value='' ;;
		yes047) printf "'\\\\''" ;;
		yes*) printf %b "\\0$portshim_byte" ;;
		# Without a = it is no variable, and env(1) would take it for the command.
		000) portshim_name='' ;;
		075) printf "'%b=" "$portshim_name" && portshim_name='' portshim_in_value=yes ;;
		047) portshim_name="$portshim_name\\0047\\0134\\0047\\0047" ;;
		*) portshim_name="$portshim_name\\0$portshim_byte" ;;
		esac
	done
}
