#!/bin/bash
# Is a host like Fedora Silverblue: boots a Debian with its systemd, prints READY and the process id of that systemd on
# standard output whenever it is up (so, after each reboot), and runs until it is told to end or its parent dies.
#
#     host.sh                          boot; Ctrl-C ends it
#     host.sh enter [SESSION [CMD]]    in another terminal, look around in there: as root, ada or graphical
#     host.sh fill FOLDER              only have image.sh fill the image store in FOLDER, with what standard input gives
#
# It runs in its own mount, network, PID, IPC, UTS and cgroup namespaces. What it writes lands in memory, and survives
# its reboots only.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
lab=/run/portshim-lab
inside=/usr/local/libexec/portshim-lab

enter() { # INIT SESSION COMMAND...
	nsenter --target "$1" --mount --uts --ipc --net --pid --cgroup -- $inside/enter "${@:2}"
}

# $1 is what image.sh built, $2 how to mount its store (ro or rw).
mount_all() {
	local folder

	# Kept open by descriptor: what is about to be mounted may hide the path.
	exec 7<"$here/../.." 8<"$1"
	# systemd-nspawn, too, keeps things in /run.
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/systemd $lab/{root,upper,work,device,shared/{images,repository,session}}
	mount -t overlay -o "lowerdir=/proc/self/fd/8/root,upperdir=$lab/upper,workdir=$lab/work" overlay $lab/root
	cp -r --no-dereference "$here/root/." $lab/root
	mount --no-canonicalize --bind /proc/self/fd/8/store $lab/shared/images
	mount -o "remount,bind,$2" $lab/shared/images
	mount --no-canonicalize --bind /proc/self/fd/7 $lab/shared/repository
	mount -o remount,bind,ro $lab/shared/repository
	exec 7<&- 8<&-

	# An overlay of podman's or docker's cannot have one of ours for an upper layer.
	for folder in home var/lib/{containers,containerd,docker}; do
		mkdir -p "$lab/real/$folder" "$lab/root/$folder"
		cp -a "$lab/root/$folder/." "$lab/real/$folder"
	done

	mkfifo $lab/shared/ready
	# Everyone may open these on a desktop; elsewhere perhaps not, and there it is not ours to change.
	mknod -m 666 $lab/device/fuse c 10 229
	mknod -m 666 $lab/device/tun c 10 200

	# systemd refuses a tree of cgroup 1 and 2 mixed.
	umount -R /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# Removes what labs left that were killed together with who was to clean up.
sweep() { # FOLDER
	local folder

	for folder in "$1"/portshim-lab.*; do
		# A process that is dead, but not yet reaped, has no program any more.
		if [ -d "$folder" ] && [ ! -e "/proc/${folder##*.}/exe" ]; then
			find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
		fi
	done
}

# The process of that name which the one given started.
child() { # PID NAME
	local children pid

	read -r -a children <"/proc/$1/task/$1/children" || true
	for pid in "${children[@]}"; do
		if [ "$(<"/proc/$pid/comm")" = "$2" ]; then
			echo "$pid"
		fi
	done
}

case ${1-} in
'')
	exec setpriv --pdeathsig KILL "$0" find
	;;
find)
	images=$("$here/image.sh")
	exec setpriv --pdeathsig TERM unshare --mount --propagation private "$0" watch "$images"
	;;
fill)
	exec setpriv --pdeathsig TERM unshare --mount --propagation private "$0" watch "$2" fill
	;;
watch)
	cgroup=$(sed -n 's/^0:://p' /proc/self/cgroup)
	mount_all "$2" "$([ "${3-}" = fill ] && echo rw || echo ro)"
	sweep "/sys/fs/cgroup$cgroup"
	cgroup=/sys/fs/cgroup${cgroup%/}/portshim-lab.$$
	mkdir "$cgroup"
	exec 5< <(exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc "$0" boot "$cgroup" </dev/null)
	namespace=$!
	# Whoever is told twice to end, as by a parent of several threads that dies, ends once.
	status=1
	trap 'status=0; kill -KILL $namespace 2>/dev/null || true' HUP INT TERM
	while read -r word <&5; do
		init=$(child "$(child "$(child $namespace host.sh)" systemd-nspawn)" systemd)
		echo "$word $init"
		if [ "${3-}" = fill ]; then
			status=0
			enter "$init" ada $lab/repository/test/lab/image.sh fill $lab/images || status=$?
			kill -KILL $namespace
		fi
	done
	# The kernel lets it become empty only when everything in there is gone.
	until find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; do
		sleep 0.01
	done
	exit $status
	;;
boot)
	echo 0 >"$2/cgroup.procs"
	cat <>$lab/shared/ready &
	status=133 # what systemd-nspawn ends with for a reboot
	while [ $status -eq 133 ]; do
		status=0
		SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory $lab/root --boot --console=pipe \
			--register=no --keep-unit --private-network --capability=all \
			--system-call-filter='@mount @keyring bpf' --link-journal=no --resolv-conf=off --timezone=off \
			--bind=$lab/device/fuse:/dev/fuse --bind=$lab/device/tun:/dev/net/tun --bind=$lab/shared:$lab \
			--bind=$lab/real/home:/home --bind=$lab/real/var/lib/containers:/var/lib/containers \
			--bind=$lab/real/var/lib/containerd:/var/lib/containerd \
			--bind=$lab/real/var/lib/docker:/var/lib/docker >&2 || status=$?
	done
	;;
enter)
	init=$(pgrep --newest --exact systemd --parent "$(pgrep --exact --delimiter , systemd-nspawn)")
	if [ $# -lt 3 ]; then
		set -- enter "${2-root}" bash -c 'cd && exec bash --login'
	fi
	enter "$init" "${@:2}"
	;;
*)
	echo "usage: $0 [enter [root|ada|graphical [COMMAND...]] | fill FOLDER]" >&2
	exit 2
	;;
esac
