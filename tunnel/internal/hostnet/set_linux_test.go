package hostnet_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tstun/tunnel/internal/hostnet"
)

func split() hostnet.Config {
	return hostnet.Config{
		Addresses: prefixes("10.1.0.1/24 10.2.0.1/32 fd01::1/64"),
		Routes:    prefixes("10.1.0.0/24 10.1.0.2/32 10.2.0.0/16 fd01::2/128 fd02::/48"),
		Endpoints: endpoints("198.51.100.7:51820"),
	}
}

func TestSplitTunnel(t *testing.T) {
	s := newScene(t).withTUN()
	before := s.snapshot()
	u := s.take(ifname)
	u.mustSet(split())
	s.has("-o addr show dev "+ifname, "10.1.0.1/24", "10.2.0.1/32", "fd01::1/64")
	s.has("link show dev "+ifname, "UP", "mtu 1420")
	s.has("route show proto 151", "10.2.0.0/16 dev tstun0 scope link")
	s.hasNot("route show proto 151", "10.1.0.") // connected
	s.has("-6 route show proto 151", "fd02::/48 dev tstun0")
	s.hasNot("-6 route show proto 151", "fd01::")
	s.hasNot("rule", "proto 151")
	if out := s.run("nft", "list", "ruleset"); out != "" {
		t.Errorf("nftables: %s", out)
	}
	u.close()
	u.close()
	s.sameAs(before, "after Close")
	s.closed(u)
}

// closed wants methods to say so, and no journal.
func (s *scene) closed(u *tunnel) {
	s.t.Helper()
	if _, err := u.set(hostnet.Config{}); !errors.Is(err, os.ErrClosed) {
		s.t.Errorf("Set after Close: %v", err)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 0 {
		s.t.Errorf("after Close %d files are left: %v", len(entries), err)
	}
}

func TestTables(t *testing.T) {
	tests := []struct {
		name  string
		table hostnet.Table
		in    []string // each a list of ip(8) and a route in it
		notIn []string
	}{
		{"off", hostnet.TableOff, nil, []string{"route show table all|proto 151", "-6 route show table all|proto 151"}},
		{"number", 77, []string{"route show table 77|default dev tstun0 proto 151", "route show table 77|10.1.0.0/24", "-6 route show table 77|default dev tstun0 proto 151"}, []string{"rule|proto 151", "route show|proto 151"}},
		{"large number", 4000000000, []string{"route show table 4000000000|10.3.0.0/16"}, []string{"rule|proto 151"}},
		{"main by number", 254, []string{"route show|10.3.0.0/16 dev tstun0 proto 151"}, []string{"rule|proto 151", "route show proto 151|10.1.0.0/24"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t).withTUN()
			before := s.snapshot()
			u := s.take(ifname)
			c := hostnet.Config{Addresses: prefixes("10.1.0.1/24 fd01::1/64"), Routes: prefixes("0.0.0.0/0 ::/0 10.1.0.0/24 10.3.0.0/16"), Table: tt.table}
			if tt.table == 254 {
				c.Routes = c.Routes[2:]
			}
			u.mustSet(c)
			for _, want := range tt.in {
				list, line, _ := strings.Cut(want, "|")
				s.has(list, line)
			}
			for _, not := range tt.notIn {
				list, line, _ := strings.Cut(not, "|")
				s.hasNot(list, line)
			}
			u.close()
			s.sameAs(before, "after Close")
		})
	}
}

// TestSetTwice watches with ip monitor, a program of others, that a second Set
// touches nothing, and that a reload touches what differs alone.
func TestSetTwice(t *testing.T) {
	s := newScene(t).withTUN()
	u := s.take(ifname)
	c := split()
	c.Routes = append(c.Routes, prefixes("0.0.0.0/0 ::/0")...)
	u.mustSet(c)
	once, guard := s.snapshot(), s.run("nft", "-a", "list", "ruleset") // with handles
	m := s.monitor()
	u.mustSet(c)
	if events := m.events(); len(events) != 0 || len(u.log) != 0 {
		t.Errorf("a second Set: %q, log %q", events, u.log)
	}
	s.sameAs(once, "after a second Set")
	if now := s.run("nft", "-a", "list", "ruleset"); now != guard {
		t.Errorf("a second Set made the guard anew:\n%s", difference(guard, now))
	}

	c.Routes = slices.Concat(prefixes("10.5.0.0/16 fd05::/48"), c.Routes[3:])
	u.mustSet(c)
	want := []string{"10.5.0.0/16 dev tstun0", "fd05::/48 dev tstun0", "Deleted 10.2.0.0/16 dev tstun0"}
	if events := m.events(); !eachIn(want, events) || len(events) != len(want) {
		t.Errorf("a reload: %q, want %q", events, want)
	}
}

// eachIn reports whether each of want begins a line.
func eachIn(want, lines []string) bool {
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, w) }) {
			return false
		}
	}
	return true
}

// monitor is a running ip monitor.
type monitor struct {
	s     *scene
	lines chan string
}

func (s *scene) monitor() *monitor {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ip", "-o", "monitor", "address", "route", "rule", "link")
	lines := make(chan string, 1000)
	cmd.Stdout = &lineWriter{lines: lines}
	if err := s.host.Start(cmd); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cancel(); cmd.Wait() })
	m := &monitor{s, lines}
	m.events()
	return m
}

// events returns what came since the last call. A marker of its own, made until
// it is seen, shows that all has come.
func (m *monitor) events() (events []string) {
	m.s.t.Helper()
	const marker = "203.0.113.9 dev lo"
	deadline := time.After(time.Minute)
	for seen := 0; seen < 2; {
		if seen == 0 {
			m.s.ip("route replace " + marker)
			m.s.ip("route del " + marker)
		}
		select {
		case line := <-m.lines:
			if !strings.Contains(line, marker) {
				events = append(events, line)
			} else if seen++; !strings.HasPrefix(line, "Deleted") {
				seen = 1
			}
		case <-time.After(time.Second):
			seen = 0
		case <-deadline:
			m.s.t.Fatal("ip monitor says nothing")
		}
	}
	return events
}

// lineWriter sends lines to a channel.
type lineWriter struct {
	lines chan string
	rest  string
}

func (w *lineWriter) Write(b []byte) (int, error) {
	all := strings.SplitAfter(w.rest+string(b), "\n")
	w.rest = all[len(all)-1]
	for _, line := range all[:len(all)-1] {
		w.lines <- strings.TrimSpace(line)
	}
	return len(b), nil
}
