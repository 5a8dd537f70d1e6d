package hostnet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tstun/tunnel/internal/hostnet"
)

// start runs a life in the host and reports whether it was killed.
func (s *scene) start(l life) (killed bool) {
	s.t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.host.Start(cmd); err != nil {
		s.t.Fatal(err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		s.t.Fatalf("child: %v\n%s", err, out.String())
	}
	return false
}

var all = flag.Bool("all", false, "kill processes before each change, not each fourth: go test ./tunnel/internal/hostnet -args -all")

// TestKilledAtEachStep kills a process before each change that it makes, from
// the first of the first Set to the last of Close. New finds what it left.
func TestKilledAtEachStep(t *testing.T) {
	moved := full()
	moved.Addresses = prefixes("10.1.0.9/24 fd01::9/64")
	moved.Routes = prefixes("0.0.0.0/1 128.0.0.0/1 10.8.0.0/16")
	for _, tt := range []struct {
		name    string
		tun     bool // the interface goes with the process
		configs []hostnet.Config
	}{
		{"the interface stays", false, []hostnet.Config{full(), moved}},
		{"the interface goes", true, []hostnet.Config{full()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			if !tt.tun {
				s.withTUN()
			}
			before, left, pace := s.snapshot(), 0, 4
			if *all {
				pace = 1
			}
			for n := 1; s.start(life{ifname, s.dir, tt.tun, tt.configs, n}); n += pace {
				if strings.Contains(s.ip("rule"), "proto 151") {
					left++
				}
				s.take(ifname).close()
				s.sameAs(before, fmt.Sprintf("after a kill before change %d and New", n))
			}
			if left == 0 {
				t.Error("no kill left rules: the test shows nothing")
			}
			s.sameAs(before, "after a whole life")
		})
	}
}

// TestJournalLost removes the journal of a killed process as well: what bears
// our number is found, in any table, and another tunnel's is left alone.
func TestJournalLost(t *testing.T) {
	s := newScene(t)
	s.ip("tuntap add dev tstun1 mode tun")
	alive := s.take("tstun1")
	other := full()
	other.Addresses = prefixes("10.9.0.1/24")
	alive.mustSet(other)
	before := s.snapshot()
	const rulesStand = 14 // is the number of a change after the rules, before the end
	if !s.start(life{ifname, filepath.Join(s.dir, "sub"), true, []hostnet.Config{full()}, rulesStand}) {
		t.Fatal("the process was not killed")
	}
	if difference(before, s.snapshot()) == "" {
		t.Fatal("the killed process left nothing")
	}
	s.dir += "2" // where the other's journal is not, either
	s.take(ifname).close()
	s.sameAs(before, "after New")
}

// TestLeftoversInAllTables has routes of ours in tables that no journal names.
func TestLeftoversInAllTables(t *testing.T) {
	s := newScene(t).withTUN()
	s.ip("link set " + ifname + " up")
	before := s.snapshot()
	for _, r := range []string{"10.8.0.0/16 table 5", "default table 4000000", "10.8.0.0/16 table main", "10.9.0.0/16 table 253"} {
		s.ip("route add " + r + " dev " + ifname + " proto 151")
	}
	s.ip("-6 route add fd08::/48 table 6 dev " + ifname + " proto 151")
	s.ip("-6 route add default table 7 dev " + ifname + " proto 151")
	s.ip("rule add not fwmark 5 table 5 priority 100 protocol 151")
	s.ip("rule add table main suppress_prefixlength 0 priority 99 protocol 151")
	s.ip("-6 rule add not fwmark 6 table 6 priority 100 protocol 151")
	s.ip("route add 10.8.0.0/16 dev eth0 table 9 proto 151") // of another interface
	s.run("nft", "add table inet tstun-"+ifname)
	s.take(ifname).close()
	s.ip("route del 10.8.0.0/16 dev eth0 table 9")
	s.sameAs(before, "after New")
}

// TestCloseAfterTheInterface closes when the interface is gone, and another of
// its name is there.
func TestCloseAfterTheInterface(t *testing.T) {
	s := newScene(t)
	before := s.snapshot()
	s.withTUN()
	u := s.take(ifname)
	u.mustSet(full())
	s.ip("link del " + ifname)
	u.close()
	s.sameAs(before, "after Close")

	s.withTUN()
	u = s.take(ifname)
	u.mustSet(full())
	s.ip("link del " + ifname)
	s.withTUN()
	s.ip("addr add 10.1.0.1/24 dev " + ifname)
	u.close()
	s.has("addr show dev "+ifname, "10.1.0.1/24") // the new interface's own
	u = s.take(ifname)
	u.mustSet(full())
	s.ip("link del " + ifname)
	s.withTUN()
	u.mustSet(full()) // on the new interface
	s.goesThrough(u.mark(full()))
	u.close()
	s.ip("link del " + ifname)
	s.sameAs(before, "in the end")
}

// TestHadItsAddress leaves the address that the interface had before.
func TestHadItsAddress(t *testing.T) {
	s := newScene(t).withTUN()
	s.ip("addr add 10.1.0.1/24 dev " + ifname)
	s.ip("link set " + ifname + " mtu 1300 up")
	before := s.snapshot()
	u := s.take(ifname)
	u.mustSet(split())
	u.close()
	s.sameAs(before, "after Close")
}
