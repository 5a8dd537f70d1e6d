package hostnet_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tstun/tunnel/internal/hostnet"
)

// withDNS is a tunnel with a server and a search domain.
func withDNS() hostnet.Config {
	return hostnet.Config{
		Addresses: prefixes("10.1.0.1/24"),
		DNS:       []netip.Addr{netip.MustParseAddr("10.1.0.53"), netip.MustParseAddr("fd01::53")},
		Search:    []string{"corp.example", "lab.example"},
	}
}

// live runs a shell script in the host, with mounts of its own. In it, live is
// this program leading a life, killed leads one that ends before the change of
// that number, and $1 is an empty directory.
func (s *scene) live(script string, env []string, configs ...hostnet.Config) string {
	s.t.Helper()
	text := func(l life) string {
		b, err := json.Marshal(l)
		if err != nil {
			s.t.Fatal(err)
		}
		return string(b)
	}
	const prelude = `set -e
live() { HOSTNET_CHILD=$WHOLE "$HOSTNET_PROGRAM" 2>&1; }
killed() { HOSTNET_CHILD=$(echo "$WHOLE" | sed "s/\"KillAt\":0/\"KillAt\":$1/") "$HOSTNET_PROGRAM" 2>&1 || echo "ended $?"; }
`
	cmd := exec.CommandContext(s.t.Context(), "unshare", "-m", "sh", "-c", prelude+script, "sh", s.t.TempDir())
	cmd.Env = append(append(os.Environ(), "HOSTNET_PROGRAM="+program(s.t), "WHOLE="+text(life{Name: ifname, Dir: s.dir, Configs: configs})), env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := s.host.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// program is the path of this program.
func program(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// unpacked are directories with the files of Debian's packages resolvconf and
// openresolv, which exclude each other and take /etc/resolv.conf over when they
// are installed. .ci/resolvconf fills it.
const unpacked = "/var/lib/tstun-tests"

// install lays a package over the file systems of a script, with a network card
// whose server is 192.168.1.1.
const install = `
mount -t tmpfs none "$1"
mkdir -p "$1/usr/sbin" "$1/usr/lib" "$1/work"
cp -a "$PACKAGE/sbin/resolvconf" "$1/usr/sbin"
cp -a "$PACKAGE/lib/resolvconf" "$1/usr/lib"
cp -a "$PACKAGE/etc" "$1"
mount -t overlay -o "lowerdir=$1/usr:/usr" none /usr
mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" none /etc
mount -t tmpfs none /run
rm -f /etc/resolv.conf
if [ -d /etc/resolvconf ]; then
	ln -s /run/resolvconf/resolv.conf /etc/resolv.conf
	resolvconf --enable-updates
fi
echo nameserver 192.168.1.1 | resolvconf -a eth0
`

// TestResolvconf runs both programs of that name: a whole life, in whose second
// Set DNS is taken back; one that is killed before that; and one that finds what
// it left.
func TestResolvconf(t *testing.T) {
	without := withDNS()
	without.DNS, without.Search = nil, nil
	const before = "192.168.1.1"
	tests := []struct {
		name, told string
		warnings   int // of other servers, one for each Set
	}{
		{"openresolv", "corp.example lab.example, 10.1.0.53, fd01::53", 0},
		{"resolvconf", "10.1.0.53, fd01::53, 192.168.1.1, corp.example lab.example", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t).withTUN()
			pkg := filepath.Join(unpacked, tt.name)
			if _, err := os.Stat(pkg); err != nil {
				t.Skipf("needs what .ci/resolvconf unpacks: %v", err)
			}
			// Changes 1 to 3 are MTU, address and up, 4 tells resolvconf, and 5 is the
			// second Set's.
			out := s.live(install+"live; killed 5; cat /etc/resolv.conf; live", []string{"PACKAGE=" + pkg}, withDNS(), without)
			first, rest, _ := strings.Cut(out, "closed: ")
			killed, rest, _ := strings.Cut(rest, "ended 137\n")
			left, last, _ := strings.Cut(rest, "new: ")
			const warning = "warning other-dns: /etc/resolv.conf still names 192.168.1.1 beside"
			if got := strings.Count(first, warning); got != tt.warnings || strings.Count(first, "warning") != got {
				t.Errorf("%d warnings, want %d:\n%s", got, tt.warnings, first)
			}
			if !strings.Contains(first, "set: "+tt.told+"\n") || !strings.HasSuffix(first, "set: "+before+"\n") || !strings.HasPrefix(killed, before+"\n") {
				t.Errorf("want %q and %q in:\n%s", tt.told, before, out)
			}
			if !strings.Contains(left, "nameserver 10.1.0.53") || !strings.HasPrefix(last, before+"\n") || !strings.HasSuffix(last, "closed: "+before+"\n") {
				t.Errorf("killed, it left:\n%s\nthen:\n%s", left, last)
			}
		})
	}
}

// recorder writes down how it is called and what it reads, and fails for the
// verbs that FAIL is a pattern of.
const recorder = `#!/bin/sh
{ printf '%s' "${0##*/}"; printf ' [%s]' "$@"; printf '\n'; [ -t 0 ] || sed 's/^/< /'; } >>"$RECORD"
case $1 in $FAIL) exit 3 ;; esac
`

// TestResolvectl wants these command lines, whose effect only a host with
// systemd-resolved can show.
func TestResolvectl(t *testing.T) {
	searchOnly := hostnet.Config{Search: []string{"corp.example"}}
	tests := []struct {
		name     string
		programs []string
		fail     string
		resolv   string // what programs read
		configs  []hostnet.Config
		want     string
		warning  string
	}{
		{"resolvectl comes first", []string{"resolvectl", "resolvconf"}, "", "127.0.0.53", []hostnet.Config{withDNS(), withDNS()},
			"resolvectl [dns] [tstun0] [10.1.0.53] [fd01::53]\nresolvectl [domain] [tstun0] [corp.example] [lab.example] [~.]\nresolvectl [default-route] [tstun0] [yes]\nresolvectl [revert] [tstun0]\n", ""},
		{"a change", []string{"resolvectl"}, "", "10.1.0.53", []hostnet.Config{withDNS(), searchOnly, {}},
			"resolvectl [dns] [tstun0] [10.1.0.53] [fd01::53]\nresolvectl [domain] [tstun0] [corp.example] [lab.example] [~.]\nresolvectl [default-route] [tstun0] [yes]\n" +
				"resolvectl [dns] [tstun0] []\nresolvectl [domain] [tstun0] [corp.example]\nresolvectl [default-route] [tstun0] [no]\nresolvectl [revert] [tstun0]\n", ""},
		{"resolved is stopped meanwhile", []string{"resolvectl"}, "revert", "127.0.0.53", []hostnet.Config{withDNS()},
			"resolvectl [dns] [tstun0] [10.1.0.53] [fd01::53]\nresolvectl [domain] [tstun0] [corp.example] [lab.example] [~.]\nresolvectl [default-route] [tstun0] [yes]\nresolvectl [revert] [tstun0]\n", ""},
		{"programs ask another", []string{"resolvectl"}, "", "192.168.1.1", []hostnet.Config{withDNS()},
			"resolvectl [dns] [tstun0] [10.1.0.53] [fd01::53]\nresolvectl [domain] [tstun0] [corp.example] [lab.example] [~.]\nresolvectl [default-route] [tstun0] [yes]\nresolvectl [revert] [tstun0]\n",
			"warning other-dns: resolvectl took the DNS servers, but /etc/resolv.conf does not name them"},
		{"both fail", []string{"resolvectl", "resolvconf"}, "*", "192.168.1.1", []hostnet.Config{withDNS()},
			"resolvectl [dns] [tstun0] [10.1.0.53] [fd01::53]\nresolvectl [revert] [tstun0]\nresolvconf [-a] [tstun0] [-m] [0] [-x]\n< nameserver 10.1.0.53\n< nameserver fd01::53\n< search corp.example lab.example\nresolvconf [-d] [tstun0] [-f]\n",
			"warning no-dns: The DNS settings are not in use: nobody takes them (run resolvectl dns tstun0 10.1.0.53 fd01::53: exit status 3"},
		{"neither", nil, "", "192.168.1.1", []hostnet.Config{withDNS()}, "",
			"warning no-dns: The DNS settings are not in use: nobody takes them (resolvectl is not there\nresolvconf is not there). Install"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t).withTUN()
			bin, record := t.TempDir(), filepath.Join(t.TempDir(), "record")
			for _, name := range tt.programs {
				if err := os.WriteFile(filepath.Join(bin, name), []byte(recorder), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			const script = `echo "nameserver $RESOLV" >"$1/resolv.conf"; mount --bind "$1/resolv.conf" /etc/resolv.conf
mount -t tmpfs none /etc/resolvconf 2>/dev/null || true
PATH=$ONLY:/no; export PATH; HOSTNET_CHILD=$WHOLE "$HOSTNET_PROGRAM" 2>&1`
			out := s.live(script, []string{"RECORD=" + record, "FAIL=" + tt.fail, "RESOLV=" + tt.resolv, "ONLY=" + bin + ":" + withSh(t)}, tt.configs...)
			got, _ := os.ReadFile(record)
			if string(got) != tt.want {
				t.Errorf("called:\n%swant:\n%s\n%s", got, tt.want, out)
			}
			if (tt.warning == "") == strings.Contains(out, "warning") || !strings.Contains(out, tt.warning) {
				t.Errorf("want %q in:\n%s", tt.warning, out)
			}
		})
	}
}

// withSh is a directory that has sed alone, which the recorder needs.
func withSh(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sed, err := exec.LookPath("sed")
	if err == nil {
		err = os.Symlink(sed, filepath.Join(dir, "sed"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
