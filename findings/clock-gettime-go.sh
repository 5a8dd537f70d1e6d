#!/usr/bin/env bash
# unix.ClockGettime of golang.org/x/sys is a system call at every call, for the
# "coarse" clock too, while time.Now and time.Since of Go make none: the cheap
# clock of Linux is the dear one in Go.
#
# golang.org/x/sys v0.49.0, Go 1.26; strace 6.1-0.1 (Debian 12) counts.
# In C, clock_gettime reads both clocks from the vDSO, the coarse one faster. Go's
# runtime uses the vDSO for itself, and x/sys is generated with plain system calls.
#   10,000 x unix.ClockGettime(CLOCK_MONOTONIC_COARSE)   10,000 calls of clock_gettime
#   10,000 x unix.ClockGettime(CLOCK_MONOTONIC)          10,000
#   10,000 x time.Since                                  none
# In time, that is some 2,500 ns against 45 ns each.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fail() { echo "changed: $*" >&2; exit 1; }

timeout 120 apt-get download -qq -o APT::Sandbox::User=root strace=6.1-0.1 libunwind8=1.6.2-3
for package in *.deb; do dpkg -x "$package" root; done
libraries=$(echo root/usr/lib/*-linux-gnu):$(echo root/lib/*-linux-gnu)
strace() { LD_LIBRARY_PATH=$libraries root/usr/bin/strace -E LD_LIBRARY_PATH "$@"; }

cat >main.go <<'GO'
package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	start := time.Now()
	var t unix.Timespec
	var sum time.Duration
	for range 10_000 {
		switch os.Args[1] {
		case "coarse":
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &t); err != nil {
				panic(err)
			}
		case "monotonic":
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
				panic(err)
			}
		case "since":
			sum += time.Since(start)
		}
	}
	if os.Args[1] == "since" && sum == 0 {
		panic("no time went by")
	}
}
GO
go mod init finding 2>/dev/null
timeout 120 go get golang.org/x/sys@v0.49.0 2>/dev/null
timeout 300 go build -o clocks .
go version
go list -m golang.org/x/sys
strace --version | head -n 1 || true

for clock in coarse monotonic since; do
	timeout 60 bash -c "$(declare -f strace); libraries=$libraries; strace -f -o trace-$clock -e trace=clock_gettime ./clocks $clock"
	calls=$(grep -c 'clock_gettime(' "trace-$clock" || true)
	echo "10,000 x $clock: $calls system calls"
	case $clock in
	since) ((calls < 100)) || fail "time.Since makes system calls (or this machine has no clock in the vDSO)" ;;
	*) ((calls >= 10000)) || fail "unix.ClockGettime does without system calls" ;;
	esac
done
