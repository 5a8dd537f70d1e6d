#!/usr/bin/env bash
# Runs on other kernels the tests that need Linux, which are those in files called
# *_linux_test.go, and the demo over TUNs. The kernels are Debian's, of each
# series the newest package, booted in an emulated machine.
#
#	internal/e2e/kernels.sh 6.1
#	internal/e2e/kernels.sh 5.10 6.1 6.12 7
#	PKGS='tundev internal/e2e=TestTwoKernels|TestSoak' internal/e2e/kernels.sh 5.10
#
# PKGS are the packages whose tests run, each with an equals sign and a regular
# expression for its tests if others are meant. SKIP is a regular expression for
# tests that do not run. LIMIT bounds the seconds of one kernel. The exit code is 0
# only if all kernels passed. It needs no root, and changes nothing on this system.
set -euo pipefail
cd "$(dirname "$0")/../.."

read -ra pkgs <<<"${PKGS:-bind tundev internal/tunqueue internal/netns internal/e2e internal/e2e/attack internal/e2e/interop tunnel tunnel/internal/hostnet}"
limit=${LIMIT:-2400}
skip=${SKIP:-^$}
# The programs that tests call, where busybox has none or another. Its unshare
# would run its own shell, and that its own ip. Tests that need nmap, scapy or
# the two resolvconfs are skipped.
tools="ip ping iperf3 nft ethtool wg wg-quick bash unshare setpriv setcap mount"

fail() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2; exit 2; }

[ $# -gt 0 ] || fail "which series of kernels? such as 6.1" "usage: $0 SERIES..."
export PATH=$PATH:/usr/sbin:/sbin
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "needs Debian on amd64, whose kernel packages it boots"
for program in qemu-system-x86_64 busybox cpio unxz unzstd go git $tools; do
	command -v "$program" >/dev/null || fail "no $program here" \
		"apt-get install qemu-system-x86 busybox-static cpio xz-utils zstd git iproute2 iputils-ping iperf3 nftables ethtool wireguard-tools util-linux mount libcap2-bin"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt fetches as a user of its own

# The packages. apt works on lists of its own, so that those of the system are
# as they were.
apt_in() { # LISTS PROGRAM ARGUMENT...
	local lists=$1 program=$2 own=()
	shift 2
	mkdir -p "$work/$lists"/{lists,cache/archives}/partial
	[ "$lists" = system ] || own=(-o "Dir::Etc::sourcelist=$work/$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null)
	"$program" -q -o "Dir::State::lists=$work/$lists/lists" -o "Dir::Cache=$work/$lists/cache" \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin \
		-o Acquire::Retries=3 "${own[@]}" "$@"
}

# mirror is where the system has its packages from, or its security updates.
mirror() { # SUITE
	apt_in system apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
		awk -v wanted="$1" '($2 ~ /-security$/) == (wanted ~ /-security$/) { print $1; exit }'
}

# update fetches the lists: of the system's own sources, or of all of Debian's
# releases from that same mirror, as far as it has them.
update() { # LISTS
	[ ! -e "$work/$1/updated" ] || return 0
	mkdir -p "$work/$1"
	if [ "$1" = releases ]; then
		local suite
		for suite in {bullseye,bookworm,trixie}{,-security} {bookworm,trixie}-backports sid; do
			echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror "$suite") $suite main"
		done >"$work/releases/sources.list"
	fi
	apt_in "$1" apt-get update >"$work/$1/log" 2>&1 || tail -n 3 "$work/$1/log" >&2
	touch "$work/$1/updated"
}

# newest names the newest package of a series among LISTS, if there is one.
newest() { # LISTS SERIES
	apt_in "$1" apt-cache search --names-only "^linux-image-${2//./\\.}\.[0-9][^ ]*-cloud-amd64$" |
		awk '{ print $1 }' | sort -V | tail -n 1
}

find_kernel() { # SERIES; sets package and lists
	for lists in system releases; do
		update "$lists"
		package=$(newest "$lists" "$1")
		[ -z "$package" ] || return 0
	done
	return 1
}

# fetch unpacks a kernel's package, and those of the same version that it needs:
# from 7 on, kernel and modules are in packages of their own.
fetch() { # LISTS PACKAGE
	rm -rf "$work/kernel"
	mkdir "$work/kernel"
	(
		cd "$work/kernel"
		parts=$(apt_in "$1" apt-cache depends "$2" |
			awk -v version="${2#linux-image-}" '$1 == "Depends:" && $2 ~ /^linux-/ && index($2, version) { print $2 }')
		# shellcheck disable=SC2086
		apt_in "$1" apt-get download "$2" $parts >"$work/log" 2>&1 || return
		for part in ./*.deb; do
			dpkg -x "$part" . || return
			rm "$part"
		done
	)
}

# add copies a program with its libraries into the root of the machine.
add() { # FILE [PLACE]
	local file
	mkdir -p "$root$(dirname "${2:-$1}")"
	cp -L -n "$1" "$root${2:-$1}"
	for file in $(ldd "$1" 2>/dev/null | grep -o '/[^ )]*'); do
		mkdir -p "$root$(dirname "$file")"
		cp -L -n "$file" "$root$file"
	done
}

test_name() { echo "$1" | tr /. _r; }

# selected is a regular expression for the tests that run of a package.
selected() { # PACKAGE[=TESTS]
	case $1 in *=*) echo "${1#*=}"; return ;; esac
	sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t \*testing.T).*/\1/p' "$1"/*_linux_test.go | paste -sd '|' | sed 's/.*/^(&)$/'
}

# The part of the machine that all kernels share.
build_root() {
	local applet name
	root=$work/root
	mkdir -p "$root"/{bin,sbin,proc,sys,dev,tmp,run,etc,root,src,t}
	add "$(command -v busybox)" /bin/busybox
	for applet in $("$root/bin/busybox" --list); do
		case $applet in
		busybox | sh | ash | ip | ping*) ;; # busybox' shell prefers its own ip
		*) ln -s busybox "$root/bin/$applet" ;;
		esac
	done
	ln -s ../bin/busybox "$root/sbin/modprobe" # where kernels look for it
	add /bin/dash
	ln -s dash "$root/bin/sh"
	ln -s ../usr/bin/bash "$root/bin/bash" # which wg-quick names
	for name in $tools; do
		add "$(readlink -f "$(command -v "$name")")" "/usr/bin/$name"
	done
	echo nameserver 127.0.0.1 >"$root/etc/resolv.conf"
	printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
	git ls-files | cpio -pdm --quiet "$root/src"
	for name in "${pkgs[@]}"; do
		name=${name%%=*}
		go test -c -ldflags='-s -w' -o "$work/test" "./$name"
		add "$work/test" "/t/$(test_name "$name").test"
		rm "$work/test"
	done
	go build -ldflags='-s -w' -o "$work/tool" ./cmd/tstun
	add "$work/tool" /t/tstun
	write_init >"$root/init"
	chmod +x "$root/init"
}

write_init() {
	local entry name
	cat <<-'END'
		#!/bin/sh
		export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/t HOME=/root TSTUN_E2E_PROGRAM=/t/tstun EMULATED=1
		mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
		mkdir -p /dev/pts; mount -t devpts p /dev/pts; mount -t tmpfs t /tmp; mount -t tmpfs t /run
		exec </dev/null >/dev/ttyS0 2>&1
		ln -s /proc/self/fd /dev/fd
		ip link set lo up
		for m in tun veth wireguard nf_tables; do modprobe $m || echo "no module $m"; done
		sysctl -qw net.ipv4.ping_group_range="0 2147483647"
		rc=0
		now() { cut -d. -f1 /proc/uptime; }
		run() { # PACKAGE NAME TESTS SKIP
			cd /src/$1; began=$(now)
			if /t/$2.test -test.v -test.timeout 30m -test.run "$3" -test.skip "$4" >/tmp/log 2>&1 && ! grep -q 'no tests to run' /tmp/log; then
				echo "ok $1 $(($(now)-began))s"
			else
				rc=1; echo "FAIL $1 $(($(now)-began))s"
				grep -a -v -e '^=== ' -e '--- PASS' /tmp/log | grep -a -B25 -e '--- FAIL' -e ^panic -e 'no tests to run' | tail -n 300
			fi
			awk -v p=$1 '/_test\.go:[0-9]+: /{ why = $0 } /--- SKIP/{ sub(/.*_test\.go:[0-9]+: /, "", why); print "skip", p, $3, why }' /tmp/log
			sed -n 's/.*\(offloads granted: .*\)/\1/p' /tmp/log | sort -u
		}
		echo "kernel $(uname -r), up after $(now)s"
	END
	for entry in "${pkgs[@]}"; do
		name=${entry%%=*}
		echo "run $name $(test_name "$name") '$(selected "$entry")' '$skip'"
	done
	cat <<-'END'
		if tstun demo --tun --size 16MiB >/tmp/log 2>&1; then echo "ok demo --tun"; else rc=1; echo "FAIL demo --tun"; cat /tmp/log; fi
		echo "RESULT $rc after $(now)s"
		poweroff -f
	END
}

# build_initrd adds the kernel's modules to the root.
build_initrd() { # VERSION
	local from=$work/kernel/lib/modules/$1 to=$root/lib/modules/$1
	[ -d "$from" ] || from=$work/kernel/usr/lib/modules/$1
	[ -d "$from/kernel" ] || return 1
	rm -rf "$root/lib/modules"
	mkdir -p "$to"
	cp "$from"/modules.{builtin,order} "$to/"
	(
		cd "$from"
		find kernel/{net,crypto,lib,arch,drivers/virtio,drivers/char/hw_random} \
			kernel/drivers/net/{tun,veth,dummy}.ko* kernel/drivers/net/wireguard -name '*.ko*' 2>/dev/null |
			cpio -pdm --quiet "$to"
	)
	find "$to" -name '*.xz' -exec unxz {} +
	find "$to" -name '*.zst' -exec unzstd -q --rm {} +
	busybox depmod -b "$root" "$1"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"
}

# boot runs the machine. What it says comes on stdout, the kernel's own log goes
# to a file. Its clock counts instructions, two nanoseconds each, and not this
# machine's time: no test runs out of time because this machine is busy, and
# sleeping costs nothing. Its processor is an old one: AVX and memory protection,
# emulated, take longer than what they replace.
boot() { # IMAGE
	timeout --foreground "$limit" qemu-system-x86_64 -machine q35 -accel tcg,thread=single -icount shift=1,sleep=off -cpu Nehalem -smp 1 -m 3072 \
		-display none -monitor none -nic none -no-reboot -serial stdio -serial "file:$work/console" \
		-device virtio-rng-pci -kernel "$1" -initrd "$work/initrd" \
		-append "console=ttyS1 panic=-1 mitigations=off rdinit=/init tsc=reliable clocksource=tsc" </dev/null 2>"$work/qemu" |
		sed -u 's/\r//'
}

# expected tells a skipped test that has its reason in the machine from one that
# should have run.
unexpected() { grep '^skip ' "$1" | grep -v -e 'needs nmap' -e 'needs scapy' -e 'needs two processors' -e 'needs what .ci/resolvconf' || true; }

try() { # SERIES; one line about it goes to the summary
	local package='' lists version image began=$SECONDS result=FAILED
	if ! find_kernel "$1"; then
		echo "$1: no package" | tee -a "$work/summary"
		return 1
	fi
	version=${package#linux-image-}
	echo "== $1: $package"
	fetch "$lists" "$package" || {
		tail -n 3 "$work/log"
		echo "$1: $package: not fetched" | tee -a "$work/summary"
		return 1
	}
	image=$(find "$work/kernel" -name 'vmlinuz*' -type f | head -n 1)
	if [ -z "$image" ] || ! build_initrd "$version"; then
		echo "$1: $package: has no kernel or no modules where they are looked for" | tee -a "$work/summary"
		return 1
	fi
	boot "$image" | tee "$work/said" || true
	if grep -q '^RESULT 0' "$work/said" && [ -z "$(unexpected "$work/said")" ]; then
		result=passed
	elif ! grep -q '^RESULT' "$work/said"; then
		echo "the machine ended before its tests did, or after $limit s; its kernel said last:"
		tail -n 20 "$work/console" "$work/qemu" 2>/dev/null | tr -d '\r'
	fi
	unexpected "$work/said" | sed 's/^/should not be skipped: /'
	echo "$1: $package: $result in $((SECONDS - began)) s; $(grep -o 'offloads granted: .*' "$work/said" | tail -n 1)" >>"$work/summary"
	[ $result = passed ]
}

build_root
failed=0
for series in "$@"; do
	try "$series" || failed=1
done
echo "== summary"
cat "$work/summary"
exit $failed
