#!/bin/sh
# build.sh [x86_64|aarch64]...: compiles the launcher, static, for these machines (else for this one): portshim-x86_64
# and portshim-aarch64, next to this file. Where they are newer than what they are made of it does nothing.
#
# The same sources and compiler make the same bytes in any folder: no path gets into them.
set -eu
# The order of the sources must not depend on the reader's language, nor the words of apt that we look for.
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
# ones. It costs no byte where nothing is padded to whole pages: hence noseparate-code, and norelro, of which a static
# program has no use (musl protects nothing in it).
compile() {
	"$@" -std=c11 -Wall -Wextra -Werror -Os -static -s -fno-pie -no-pie -fno-ident -fno-asynchronous-unwind-tables \
		-ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,-z,max-page-size=65536 -Wl,-z,noseparate-code -Wl,-z,norelro -o "$work/launcher" ./*.c
}

# fetch ARCH: unpacks that machine's musl-dev into .musl-ARCH, by an apt with a state of its own: to add a foreign
# architecture to this machine's is not for a build to do.
fetch() {
	case $1 in aarch64) debian=arm64 ;; *) debian=amd64 ;; esac
	command -v apt-get >/dev/null || fail 69 "no apt here to fetch musl for $1: build on Debian, or on a machine of that \
kind, or unpack Debian's musl-dev_*_$debian.deb into $PWD/.musl-$1."
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/musl"
	: >"$work/apt/status"
	# Cleared are the machine's hooks, which tell its desktop of an update. Root, because apt's own user cannot enter here.
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
	# That some source of the machine's cannot be reached matters only if the package is not found.
	(
		cd "$work" || exit
		timeout 120 apt-get -qq -c apt.conf update || [ $? -ne 124 ] || echo 'E: the update took more than 120 seconds' >&2
		timeout 120 apt-get -qq -c apt.conf download musl-dev
	) >"$work/log" 2>&1 ||
		fail 69 "could not fetch musl-dev for $debian: $(sed -n 's/^E: //p' "$work/log" | head -n 1)"
	dpkg-deb -x "$work"/musl-dev_*.deb "$work/musl"
	# -T, because another run may have been faster: its copy is as good.
	mv -T "$work/musl" ".musl-$1" 2>/dev/null || [ -d ".musl-$1" ]
}

# build ARCH, in a subshell, so that its trap is its own.
build() (
	work=$(mktemp -d .build-XXXXXX)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
	if [ "$1" = "$(uname -m)" ]; then
		# musl-gcc is only a front for gcc, and Debian's package does without it.
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
	# A source that was saved while we compiled must count as newer.
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
