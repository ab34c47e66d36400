#!/bin/sh
# build.sh [x86_64|aarch64]...: compiles the static launcher for these machines (default: for this one), as
# portshim-x86_64 and portshim-aarch64 next to this file, unless they are newer than their sources.
#
# The same sources and compiler make the same bytes in any folder: they contain no path.
set -eu
# The order of the sources and apt's messages must not depend on the language.
export LC_ALL=C
cd "$(dirname "$(readlink -f "$0")")"

# fail STATUS TEXT
fail() {
	echo "build.sh: $2" >&2
	exit "$1"
}

# compile COMPILER ARGUMENT...: makes $work/launcher.
#
# 64 kB, because kernels for arm64 have pages of 4, 16 or 64 kB, and do not load a file that was laid out for smaller
# ones. It costs nothing if nothing is padded to whole pages: hence common-page-size (else GNU ld pads to save a page of
# memory), noseparate-code, and norelro, which is useless in a static program (musl protects nothing there).
compile() {
	"$@" -std=c11 -Wall -Wextra -Werror -Os -static -s -fno-pie -no-pie -fno-ident -fno-unwind-tables \
		-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,-z,max-page-size=65536 -Wl,-z,common-page-size=65536 -Wl,-z,noseparate-code -Wl,-z,norelro \
		-o "$work/launcher" ./*.c
}

# fetch ARCH: unpacks that architecture's musl-dev into .musl-ARCH, with a state of apt's own: a build must not add a
# foreign architecture to the machine.
fetch() {
	case $1 in aarch64) debian=arm64 ;; *) debian=amd64 ;; esac
	command -v apt-get >/dev/null || fail 69 "no apt here to fetch musl for $1: build on Debian, or on a machine of that \
kind, or unpack Debian's musl-dev_*_$debian.deb into $PWD/.musl-$1."
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/musl"
	: >"$work/apt/status"
	# #clear: without the machine's hooks, which notify its desktop. Root, because apt's own user cannot enter here.
	cat >"$work/apt.conf" <<-END
		#clear APT::Update;
		#clear APT::Architectures;
		APT::Architecture "$debian";
		APT::Architectures { "$debian"; };
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
		Acquire::Languages "none";
		Dir::Cache "$PWD/$work/apt";
		Dir::State "$PWD/$work/apt";
		Dir::State::lists "$PWD/$work/apt/lists";
		Dir::State::status "$PWD/$work/apt/status";
	END
	# A source that cannot be reached matters only if the package is not found.
	(
		cd "$work" || exit
		timeout 120 apt-get -qq -c apt.conf update || [ $? -ne 124 ] || echo 'E: the update took more than 120 seconds' >&2
		timeout 120 apt-get -qq -c apt.conf download musl-dev
	) >"$work/log" 2>&1 ||
		fail 69 "could not fetch musl-dev for $debian: $(sed -n 's/^E: //p' "$work/log" | head -n 1)"
	dpkg-deb -x "$work"/musl-dev_*.deb "$work/musl"
	# -T fails if another run was faster: its copy is the same.
	mv -T "$work/musl" ".musl-$1" 2>/dev/null || [ -d ".musl-$1" ]
}

# build ARCH: in a subshell, to have a trap of its own.
build() (
	work=$(mktemp -d .build-XXXXXX)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
	if [ "$1" = "$(uname -m)" ]; then
		# --version, because Debian's musl-gcc can be installed without the gcc that it calls.
		musl-gcc --version >/dev/null 2>&1 || fail 69 "no musl-gcc here: install gcc and musl-tools (Debian, Ubuntu) or \
musl-gcc and musl-libc-static (Fedora)."
		set -- "$1" musl-gcc
	else
		command -v "$1-linux-gnu-gcc" >/dev/null || fail 69 "no $1-linux-gnu-gcc here: install \
gcc-$(echo "$1" | tr _ -)-linux-gnu (Debian, Ubuntu), or build on a machine of that kind."
		specs=.musl-$1/usr/lib/$1-linux-musl/musl-gcc.specs
		[ -e "$specs" ] || fetch "$1"
		sed "s,/usr/,.musl-$1/usr/,g" "$specs" >"$work/specs"
		set -- "$1" "$1-linux-gnu-gcc" "-specs=$work/specs"
	fi
	output=portshim-$1
	shift
	: >"$work/started"
	compile "$@"
	chmod 755 "$work/launcher"
	# A source that was saved while we compiled must be newer.
	touch -r "$work/started" "$work/launcher"
	mv -f "$work/launcher" "$output"
)

[ $# -gt 0 ] || set -- "$(uname -m)"
for arch; do
	case $arch in x86_64 | aarch64) ;; *) fail 64 "the launcher is for x86_64 and aarch64, not for $arch." ;; esac
	if [ ! -e "portshim-$arch" ] || [ -n "$(find ./*.[ch] build.sh -newer "portshim-$arch")" ]; then
		build "$arch"
	fi
done
