#!/bin/bash
# Prints the folder with what the lab's host boots from, building it first where it is not there yet: root, the files of
# a Debian, and store, a podman image store for its user (a store, because podman takes a ready one as it is, while
# loading a tarball costs seconds).
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
suite=trixie

host=(
	systemd systemd-sysv libpam-systemd dbus dbus-user-session polkitd pkexec sudo login passwd
	util-linux util-linux-extra procps iproute2 curl jq ca-certificates perl-base
	podman podman-toolbox distrobox crun uidmap passt fuse-overlayfs netavark aardvark-dns catatonit
	flatpak flatpak-xdg-utils firewalld ufw nftables iptables
	docker.io docker-cli docker-buildx rootlesskit slirp4netns runsc
	xvfb openbox mate-polkit xdotool imagemagick tesseract-ocr tesseract-ocr-eng
	authbind docker-compose libcap2-bin python3-yaml # for docs/alternatives.md
	dnf docker-registry skopeo # for docs/releasing.md
	libatomic1 # for the official builds of Node
)
# What distrobox wants is here so that it need not install it.
container=(
	bash busybox-static caddy dash flatpak-xdg-utils libcap2-bin nginx-light passwd procps sudo util-linux dbus iproute2
	libatomic1 libstdc++6
	bc bsdutils bzip2 ca-certificates curl diffutils findutils gpg hostname iputils-ping less lsof man-db mount
	openssh-client pigz pinentry-curses rsync time tree unzip wget xauth xz-utils zip
)

# The machine's own mirrors, in whichever of apt's formats they are written. None known: mmdebstrap has a default.
mirrors() {
	# shellcheck disable=SC2016 # the dollars are apt's
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
		sed -nE "s#^(\S+) [a-z]+(-updates|-security)? main\$#deb \1 $suite\2 main#p"
}

debian() { # TARGET PACKAGE...
	local sources=()

	if [ -s "$work/sources.list" ]; then
		sources=("$work/sources.list")
	fi
	mmdebstrap --quiet --variant=minbase --include="$(IFS=, && echo "${*:2}")" --aptopt="$work/apt.conf" \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		"$suite" "$1" ${sources[@]+"${sources[@]}"}
}

configure_host() {
	local folder=$1

	echo silverblue >"$folder/etc/hostname"
	: >"$folder/etc/default/locale"
	# Rootless podman takes this from its user's own file only.
	mkdir -p "$folder/etc/skel/.config/containers"
	cat >"$folder/etc/skel/.config/containers/storage.conf" <<-'END'
		[storage]
		driver = "overlay"
		[storage.options]
		additionalimagestores = ["/run/portshim-lab/images"]
	END
	chroot "$folder" useradd --uid 4321 --user-group --groups sudo --create-home --shell /bin/bash ada
	echo 'ada:correct horse' | chroot "$folder" chpasswd
	# Rootless podman maps a container's users to these.
	echo ada:700000:65536 | tee "$folder/etc/subuid" >"$folder/etc/subgid"
	# Without one, each boot would be a machine's first, and enable every unit.
	systemd-machine-id-setup --root "$folder"
	# Each costs time at boot; a test that wants one starts it.
	systemctl --root "$folder" --quiet disable docker.service docker.socket docker-registry.service containerd.service \
		firewalld.service accounts-daemon.service netavark-dhcp-proxy.service netavark-dhcp-proxy.socket getty@tty1.service \
		apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer
	# These would reach the kernel of this machine.
	systemctl --root "$folder" --quiet mask systemd-modules-load.service systemd-binfmt.service \
		proc-sys-fs-binfmt_misc.automount sys-kernel-{config,debug,tracing}.mount dev-hugepages.mount
}

build() {
	local work=$1

	mirrors >"$work/sources.list"
	# mmdebstrap leaves apt's settings of this machine aside, a proxy among them.
	apt-config dump | grep -E '^Acquire::(http|https|Retries)' >"$work/apt.conf" || true
	debian "$work/container.tar" "${container[@]}" &
	debian "$work/root" "${host[@]}"
	configure_host "$work/root"
	wait $!
	mkdir "$work/store"
	chown --reference="$work/root/home/ada" "$work/store"
	# By the host itself: only its user makes files whose owners fit her containers.
	"$here/host.sh" fill "$work" <"$work/container.tar"
	rm "$work/container.tar" "$work/sources.list" "$work/apt.conf"
}

# Runs in the host, as its user.
fill_store() {
	local podman=(podman --root "$1")

	"${podman[@]}" import --change 'CMD ["/bin/bash"]' - localhost/portshim-lab/base:1
	mkdir /tmp/empty
	"${podman[@]}" build --tag localhost/portshim-lab/toolbox:1 --file - /tmp/empty <<-'END'
		FROM localhost/portshim-lab/base:1
		LABEL com.github.containers.toolbox="true"
	END
}

case ${1-} in
'')
	# When whoever wanted the image dies, building it ends with them.
	exec setpriv --pdeathsig KILL "$0" find
	;;
find) ;;
build)
	build "$2"
	exit
	;;
fill)
	fill_store "$2"
	exit
	;;
*)
	echo "usage: $0" >&2
	exit 2
	;;
esac

cache=${PORTSHIM_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/portshim-lab}
key=$({ cat "$0" && dpkg --print-architecture; } | sha256sum | cut -c 1-16)

mkdir -p "$cache"
chmod 700 "$cache" # the images' setuid programs are nobody else's business
exec 9>"$cache/lock"
flock 9
if [ ! -d "$cache/$key" ]; then
	echo "portshim's lab: building its images in $cache, once" >&2
	rm -rf "$cache"/building.*
	work=$(mktemp -d "$cache/building.XXXXXX")
	chmod 711 "$work"
	# In a PID namespace, so that killing this script leaves none of the programs behind that it started: they would
	# go on writing, and hold the lock.
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc "$0" build "$work" >&2
	# A machine that is switched off now must not find the name and half of the content.
	sync --file-system "$work/store"
	mv "$work" "$cache/$key"
	find "$cache" -mindepth 1 -maxdepth 1 -type d -not -name "$key" -mtime +30 -exec rm -rf {} +
fi
touch "$cache/$key"
echo "$cache/$key"
