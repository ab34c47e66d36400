#!/bin/sh
# Shows the main job on any Linux, without podman and without a host to ask: in user, mount and network namespaces that
# are discarded at the end, with a sysctl.d file that asks for port 80 and was never applied.
set -eu
exec 2>&1

here=$(dirname "$(readlink -f "$0")")
PATH=$(dirname "$here")/shim:$PATH
export PATH

say() { printf '\n%s\n' "$1"; }

# In the namespaces we have the same user id as outside and own the network, but not the capability to bind the port.
inside() {
	ip link set lo up
	mount -t tmpfs tmpfs /etc/sysctl.d
	echo net.ipv4.ip_unprivileged_port_start=80 >/etc/sysctl.d/80-web.conf
	exec setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service --ambient-caps=-net_bind_service \
		"$0" as-ordinary-user
}

as_ordinary_user() {
	cd "$here/fixture"
	say '$ cat /etc/sysctl.d/80-web.conf; sysctl net.ipv4.ip_unprivileged_port_start'
	cat /etc/sysctl.d/80-web.conf
	printf 'net.ipv4.ip_unprivileged_port_start = %s\n' "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"

	say '$ node server.js'
	if node server.js; then return 1; fi

	say '$ portshim -- node server.js &'
	portshim -- node server.js &
	server=$!
	trap 'kill $server 2>/dev/null || :' EXIT

	answer=
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.3
		answer=$(node -e 'fetch("http://127.0.0.1/hello").then((a) => a.text()).then(console.log, () => process.exit(1))') && break
	done
	say 'GET http://127.0.0.1/hello'
	printf '%s\n' "$answer"

	say '$ kill %1; portshim -- node server.js &    (once more: nothing to do, so nothing is said)'
	{
		kill "$server"
		wait "$server" || :
	} 2>/dev/null
	portshim -- node server.js &
	server=$!
	sleep 1
	[ -n "$answer" ]
}

case ${1-} in
inside) inside ;;
as-ordinary-user) as_ordinary_user ;;
*)
	for program in unshare setpriv ip mount node; do
		command -v "$program" >/dev/null || {
			echo "The demo needs $program (Debian: apt-get install util-linux iproute2; Fedora: dnf install util-linux iproute)." >&2
			exit 1
		}
	done
	unshare --user --map-current-user --keep-caps --mount --net "$0" inside || {
		echo "The demo did not get to its end. It needs user namespaces: unshare --user --net true" >&2
		exit 1
	}
	;;
esac
