#!/bin/bash
# Is a host like Fedora Silverblue, freshly booted: says READY on standard output, and runs until it is killed.
#
# It lives in its own mount, network and PID namespaces on top of this machine's files. What it writes lands in memory,
# and when its first process ends, for whatever reason, the kernel ends all others and takes the mounts away. To switch
# it off: Ctrl-C, or SIGKILL (unshare, which waits for it, lets no other signal in).
#
#     host.sh                          boot
#     host.sh fill STORE               only have image.sh fill an image store, as the user
#     host.sh user                     print who the user is
#     host.sh as-root|as-user CMD      inside the lab: run CMD as root or the user, with the environment of a login
set -euo pipefail

user=ada
uid=4321
# Rootless podman maps a container's users to these.
first_subid=700000
subids=65536

here=$(dirname "$(readlink -f "$0")")
lab=/run/portshim-lab
runtime=/run/user/$uid
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

as_root=(env -i -C / "PATH=$path" LANG=C.UTF-8 SHELL=/bin/bash HOME=/root USER=root LOGNAME=root)
as_user=(
	setpriv --reuid "$uid" --regid "$uid" --init-groups
	env -i -C / "PATH=$path" LANG=C.UTF-8 SHELL=/bin/bash "HOME=/home/$user" "USER=$user" "LOGNAME=$user"
	"XDG_RUNTIME_DIR=$runtime" "DBUS_SESSION_BUS_ADDRESS=unix:path=$runtime/bus"
)

# $1 is where the images are, $2 how to mount them (ro or rw).
mount_all() {
	local folder top

	# Kept open by descriptor: what is about to be mounted may hide the path.
	exec 7<"$here/../.." 8<"$1"
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p $lab/repository $lab/images $lab/log $lab/layers $lab/device /run/dbus /run/lock "$runtime"
	# toolbox is linked to find its libraries here, on the host as in a toolbox; systemd-tmpfiles makes it at boot.
	ln -s ../ /run/host
	mount --no-canonicalize --bind /proc/self/fd/7 $lab/repository
	mount -o remount,bind,ro $lab/repository
	mount --no-canonicalize --bind /proc/self/fd/8 $lab/images
	mount -o "remount,bind,$2" $lab/images
	exec 7<&- 8<&-

	for folder in etc usr var; do
		top=$lab/layers/$folder
		mkdir "$top" "$top.work"
		mount -t overlay -o "lowerdir=/$folder,upperdir=$top,workdir=$top.work" overlay "/$folder"
	done
	# podman's own overlays cannot have one of ours for an upper layer, so its storage needs real tmpfs.
	mkdir -p /var/lib/containers
	for folder in /var/lib/containers /home /root; do
		mount -t tmpfs -o mode=755 tmpfs "$folder"
	done
	# /dev/shm holds podman's locks, which outlive it.
	for folder in /tmp /var/tmp /dev/shm; do
		mount -t tmpfs -o mode=1777 tmpfs "$folder"
	done

	# crun refuses a tree of cgroup 1 and 2 mixed.
	umount -R /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup

	# Everyone may open these on a desktop; elsewhere perhaps not, and there it is not ours to change.
	mknod -m 666 $lab/device/fuse c 10 229
	mknod -m 666 $lab/device/tun c 10 200
	for folder in fuse:/dev/fuse tun:/dev/net/tun; do
		if [ -e "${folder#*:}" ]; then
			mount --bind "$lab/device/${folder%%:*}" "${folder#*:}"
		fi
	done
	mount --make-rshared /
}

make_user() {
	local file others

	# Whoever has her name or number on this machine does not exist in the lab.
	for file in passwd shadow group gshadow; do
		others=$(awk -F: -v name="$user" -v id="$uid" '$1 != name && !($3 == id && FILENAME ~ "/(passwd|group)$")' \
			"/etc/$file")
		echo "$others" >"/etc/$file"
	done
	echo "$user:x:$uid:$uid:Ada:/home/$user:/bin/bash" >>/etc/passwd
	echo "$user:!:20000:0:99999:7:::" >>/etc/shadow
	echo "$user:x:$uid:" >>/etc/group
	echo "$user:$first_subid:$subids" | tee /etc/subuid >/etc/subgid

	mkdir "/home/$user"
	# Where the commands that a test runs leave word of themselves: seen at the same path in a toolbox.
	mkdir "$runtime/portshim-lab"
	chown "$uid:$uid" "$runtime" "$runtime/portshim-lab" "/home/$user"
	chmod 700 "$runtime" "/home/$user"
}

configure_podman() {
	mkdir -p /etc/containers
	# podman's own choices, systemd and journald, do not run here.
	cat >/etc/containers/containers.conf <<-'END'
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
	END
	# Hers alone: in root's containers the owners of these files would be wrong. (Rootless podman takes this setting
	# from her own file only.)
	mkdir -p "/home/$user/.config/containers"
	cat >"/home/$user/.config/containers/storage.conf" <<-END
		[storage]
		driver = "overlay"
		[storage.options]
		additionalimagestores = [$1]
	END
	chown -R "$uid:$uid" "/home/$user/.config"
}

wait_for() {
	local tries=500

	until "$@"; do
		if [ $((tries -= 1)) -eq 0 ]; then
			echo "host.sh: gave up waiting for: $*" >&2
			exit 1
		fi
		sleep 0.01
	done
}

start_services() {
	"${as_root[@]}" dbus-daemon --system --fork --nopidfile
	# Without a rule of its own, the lab leaves the answer to the host's policy, and only counts.
	install -m 644 $lab/repository/test/lab/polkit.rules /etc/polkit-1/rules.d/10-portshim-lab.rules
	"${as_root[@]}" /usr/lib/polkit-1/polkitd >$lab/log/polkit 2>&1 &

	"${as_user[@]}" dbus-daemon --session --fork --nopidfile --address="unix:path=$runtime/bus"
	"${as_user[@]}" dbus-monitor --profile --address "unix:path=$runtime/bus" \
		"type='method_call',interface='org.freedesktop.Flatpak.Development',member='HostCommand'" \
		"type='signal',interface='portshim.lab.Mark'" >$lab/log/bus 2>&1 &
	"${as_user[@]}" /usr/libexec/flatpak-session-helper >$lab/log/session-helper 2>&1 &
	wait_for grep -q 'portshim-lab: rules' $lab/log/polkit
	wait_for "${as_user[@]}" dbus-send --session --dest=org.freedesktop.Flatpak --print-reply / \
		org.freedesktop.DBus.Peer.Ping >/dev/null 2>&1
}

case ${1-} in
'')
	# When whoever started the lab dies, even by SIGKILL, the lab goes too.
	exec setpriv --pdeathsig KILL "$0" outside
	;;
outside)
	images=$("$here/image.sh")
	exec unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private "$0" boot "$images"
	;;
boot)
	# The first process of a PID namespace ignores a signal, Ctrl-C's too, unless it asks for it.
	trap exit HUP INT TERM
	export PATH=$path
	ip link set lo up
	mount_all "$2" ro
	make_user
	configure_podman "\"$lab/images\""
	start_services
	"${as_user[@]}" toolbox --assumeyes create --image localhost/portshim-lab/toolbox:1 box >$lab/log/toolbox 2>&1 ||
		{
			cat $lab/log/toolbox >&2
			exit 1
		}
	# Its first start sets the toolbox up, which no test should have to wait for.
	"${as_user[@]}" toolbox run -c box true >>$lab/log/toolbox 2>&1
	echo "READY $user $uid"
	# This is process 1: bash reaps what its orphans leave while it waits.
	sleep infinity &
	wait
	;;
fill)
	exec unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private "$0" fill-inside "$2"
	;;
fill-inside)
	chown "$uid:$uid" "$2"
	mount_all "$2" rw
	make_user
	configure_podman ''
	"${as_user[@]}" $lab/repository/test/lab/image.sh fill $lab/images
	;;
user)
	echo "$user $uid $first_subid $subids"
	;;
as-root)
	exec "${as_root[@]}" "${@:2}"
	;;
as-user)
	exec "${as_user[@]}" "${@:2}"
	;;
*)
	echo "usage: $0 [fill STORE | user | as-root COMMAND... | as-user COMMAND...]" >&2
	exit 2
	;;
esac
