#!/bin/bash
# Prints the folder of the podman image store with the lab's images, building it first where it is not there yet.
#
# It is a store, and not a tarball, because podman takes a ready one as it is (additionalimagestores), while loading a
# tarball costs seconds at each start of the lab.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# The last two are for the official builds of Node.
packages=bash,busybox-static,dash,flatpak-xdg-utils,libcap2-bin,nginx-light,passwd,procps,sudo,util-linux,libatomic1,libstdc++6
suite=bookworm

# Runs inside the lab's namespaces, as the lab's user: only she makes files whose owners fit her containers.
fill_store() {
	local podman=(podman --root "$1")

	"${podman[@]}" import --change 'CMD ["/bin/bash"]' - localhost/portshim-lab/base:1
	mkdir /tmp/empty
	"${podman[@]}" build --isolation chroot --tag localhost/portshim-lab/toolbox:1 --file - /tmp/empty <<-'END'
		FROM localhost/portshim-lab/base:1
		LABEL com.github.containers.toolbox="true"
	END
}

# The machine's own mirrors, in whichever of apt's formats they are written. None known: mmdebstrap has a default.
mirrors() {
	# shellcheck disable=SC2016 # the dollars are apt's
	apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
		grep -E " $suite(-updates|-security)? main\$" || true
}

build() {
	local work=$1 sources=()

	mirrors >"$work/sources.list"
	if [ -s "$work/sources.list" ]; then
		sources=("$work/sources.list")
	fi
	# mmdebstrap leaves apt's settings of this machine aside, a proxy among them.
	apt-config dump | grep -E '^Acquire::(http|https|Retries)' >"$work/apt.conf" || true
	# In memory, unpacking the packages takes half the time.
	mkdir "$work/memory"
	mount -t tmpfs tmpfs "$work/memory"
	TMPDIR=$work/memory mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt="$work/apt.conf" \
		"$suite" "$work/base.tar" ${sources[@]+"${sources[@]}"}
	mkdir "$work/store"
	"$here/host.sh" fill "$work/store" <"$work/base.tar"
}

case ${1-} in
'')
	# When whoever wanted the image dies, building it ends with them.
	exec setpriv --pdeathsig KILL "$0" store
	;;
store) ;;
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
# The owners of the store's files depend on the user that host.sh makes.
key=$({ cat "$0" && "$here/host.sh" user && dpkg --print-architecture; } | sha256sum | cut -c 1-16)

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
	mv "$work/store" "$cache/$key"
	rm -rf "$work"
	find "$cache" -mindepth 1 -maxdepth 1 -type d -not -name "$key" -mtime +30 -exec rm -rf {} +
fi
touch "$cache/$key"
echo "$cache/$key"
