#!/usr/bin/env bash
# Tries contrib/tstun@.service under a real systemd: that of Debian, with its
# systemd-resolved, polkit and kernel, in an emulated machine.
#
#	internal/e2e/systemd.sh
#	internal/e2e/systemd.sh trixie
#
# The argument is Debian's release. LIMIT bounds the machine's seconds. The exit
# code is 0 only if all that systemd.guest.sh checks is as it should. It needs no
# root, and changes nothing on this system.
set -euo pipefail
cd "$(dirname "$0")/../.."

release=${1:-trixie}
limit=${LIMIT:-900}
# What the machine consists of, with all that it depends on.
packages="systemd systemd-sysv systemd-resolved libnss-resolve libnss-systemd udev dbus polkitd kmod coreutils sed grep diffutils libc-bin bash procps util-linux iproute2 nftables iputils-ping wireguard-tools dnsmasq-base"

fail() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2; exit 2; }

export PATH=$PATH:/usr/sbin:/sbin
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "needs Debian on amd64, whose packages it boots"
for program in qemu-system-x86_64 busybox cpio unxz wg go; do
	command -v "$program" >/dev/null || fail "no $program here" \
		"apt-get install qemu-system-x86 busybox-static cpio xz-utils wireguard-tools"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt fetches as a user of its own
root=$work/root

# apt_in works on lists of its own, and as if nothing were installed.
apt_in() { # PROGRAM ARGUMENT...
	local program=$1
	shift
	"$program" -q -o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none -o Acquire::Retries=3 \
		-o APT::Install-Recommends=false -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null "$@"
}

fetch() {
	local mirror kernel
	mkdir -p "$work"/{lists,cache/archives}/partial
	: >"$work/status"
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk '$2 !~ /-/ && $1 ~ /debian/ { print $1; exit }')
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$work/sources.list"
	apt_in apt-get update >"$work/log" 2>&1
	kernel=$(apt_in apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
	[ -n "$kernel" ] || fail "no kernel in $release" "see $mirror"
	version=${kernel#linux-image-}
	# The kernel's own dependencies would make an initial file system.
	# shellcheck disable=SC2086
	apt_in apt-get install --yes --download-only $packages systemd-timesyncd- >>"$work/log" 2>&1 || { tail -n 5 "$work/log"; exit 2; }
	(cd "$work" && apt_in apt-get download "$kernel" >>"$work/log" 2>&1)
}

# unpack makes a root of the packages' files. None of their scripts is run.
unpack() {
	local dir package
	mkdir -p "$root"/{etc,proc,sys,dev,run,tmp,root,mnt,home,var} "$work/kernel"
	for dir in bin sbin lib lib64; do
		mkdir -p "$root/usr/$dir"
		ln -s "usr/$dir" "$root/$dir"
	done
	ln -s /run "$root/var/run"
	for package in "$work"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --no-same-owner --keep-directory-symlink \
			--exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./usr/share/i18n' --exclude='./usr/lib/*/gconv' --exclude='./usr/lib/udev/hwdb.d'
	done
	dpkg -x "$work"/linux-image-*.deb "$work/kernel"
}

add_modules() {
	local from=$work/kernel/lib/modules/$version to=$root/usr/lib/modules/$version
	[ -d "$from" ] || from=$work/kernel/usr/lib/modules/$version
	mkdir -p "$to"
	cp "$from"/modules.{builtin,builtin.modinfo,order} "$to/"
	(
		cd "$from"
		find kernel/{net,crypto,lib,arch,fs/autofs,drivers/char/hw_random} kernel/drivers/net/{tun,veth}.ko* kernel/drivers/net/wireguard -name '*.ko*' 2>/dev/null |
			cpio -pdm --quiet "$to"
	)
	find "$to" -name '*.xz' -exec unxz {} +
	# The release's own, since kmod reads no index of busybox's.
	"$root"/usr/lib64/ld-linux-x86-64.so.2 --argv0 depmod --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/kmod" -b "$root" "$version"
}

# configure adds what an administrator would, as docs/systemd.md says.
configure() {
	local near far etc=$root/etc
	near=$(wg genkey) far=$(wg genkey)
	CGO_ENABLED=0 go build -ldflags='-s -w' -o "$root/usr/local/bin/tstun" ./cmd/tstun
	mkdir -p "$etc"/{systemd/system/multi-user.target.wants,sysusers.d,polkit-1/rules.d,tstun/wg0,wireguard}
	cp contrib/tstun@.service "$etc/systemd/system/"
	cp contrib/tstun.sysusers.conf "$etc/sysusers.d/tstun.conf"
	cp contrib/tstun.polkit.rules "$etc/polkit-1/rules.d/50-tstun.rules"
	printf '[Interface]\nPrivateKey = %s\nAddress = 10.7.0.1/24\nDNS = 10.7.0.2, corp.example\n[Peer]\n# Name = far\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.2:51820\n' \
		"$near" "$(wg pubkey <<<"$far")" >"$etc/wireguard/wg0.conf"
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.7.0.1/32\n' \
		"$far" "$(wg pubkey <<<"$near")" >"$etc/far.conf"
	chmod 600 "$etc"/wireguard/wg0.conf "$etc/far.conf"
	echo '{"local": "10.7.0.1", "accept": [{"proto": "icmp", "src": "10.7.0.2", "dst": "10.7.0.1"}]}' >"$etc/tstun/wg0/policy.hujson"
	printf 'root:x:0:0::/root:/bin/bash\n' >"$etc/passwd"
	printf 'root:x:0:\n' >"$etc/group"
	printf 'hosts: files resolve [!UNAVAIL=return] dns\n' >"$etc/nsswitch.conf"
	ln -sf /run/systemd/resolve/stub-resolv.conf "$etc/resolv.conf"
	: >"$etc/machine-id"
	ln -s /dev/null "$etc/systemd/system/getty.target"
	ln -s /dev/null "$etc/systemd/system/ldconfig.service"
	printf '[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nExecStart=/bin/bash /guest.sh\nTimeoutStartSec=infinity\n' >"$etc/systemd/system/guest.service"
	ln -s ../guest.service "$etc/systemd/system/multi-user.target.wants/guest.service"
	cp internal/e2e/systemd.guest.sh "$root/guest.sh"
}

# pack makes the initial file system. systemd runs in one that it can pivot away
# from for each service, which the kernel's first is not.
pack() {
	mkdir "$root/new"
	cp "$(command -v busybox)" "$root/usr/bin/busybox"
	cat >"$root/init" <<-'END'
		#!/bin/busybox sh
		b=/bin/busybox
		$b mount -t tmpfs -o size=80% root /new
		$b cp -a /usr /etc /var /bin /sbin /lib /lib64 /guest.sh /new/
		for d in proc sys dev run tmp root mnt home; do $b mkdir /new/$d; done
		$b mount -t devtmpfs dev /new/dev
		exec $b switch_root /new /usr/lib/systemd/systemd
	END
	chmod +x "$root/init"
	(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$work/initrd"
}

# boot runs the machine. Its clock counts instructions, not this machine's time,
# so that nothing runs out of time because this machine is busy, and waiting
# costs nothing.
boot() {
	timeout "$limit" qemu-system-x86_64 -machine q35 -accel tcg,thread=single -icount shift=1,sleep=off -cpu max -smp 1 -m 2048 \
		-display none -monitor none -nic none -no-reboot -serial stdio -serial "file:$work/console" \
		-device virtio-rng-pci -kernel "$(find "$work/kernel" -name 'vmlinuz*' -type f)" -initrd "$work/initrd" \
		-append "console=ttyS1 panic=-1 mitigations=off rdinit=/init tsc=reliable clocksource=tsc quiet systemd.show_status=0" </dev/null 2>"$work/qemu" |
		sed -u 's/\r//'
}

fetch
unpack
add_modules
configure
pack
echo "== $release: Linux $version, systemd $(basename "$work"/cache/archives/systemd_*.deb | cut -d_ -f2)"
boot | tee "$work/said" || true
grep -q '^RESULT' "$work/said" || { echo "the machine ended before its checks did, or after $limit s:"; tail -n 20 "$work/console" "$work/qemu" | tr -d '\r'; }
grep -q '^RESULT 0 ' "$work/said"
