package filter_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// lines is a Logf that keeps what it gets.
type lines struct{ all []string }

func (l *lines) logf(format string, args ...any) {
	l.all = append(l.all, fmt.Sprintf(format, args...))
}

func TestLogLines(t *testing.T) {
	e := ends4(80, 5000)
	const both = filter.LogDrops | filter.LogAccepts
	multicast := out(udpBetween(host4, "224.0.0.1"))
	long := packet.Generate(packet.UDPHeader{Src: e.host, Dst: e.peer}, make([]byte, 64))
	tests := []struct {
		name  string
		ev    event
		flags filter.RunFlags
		want  string // what the line holds; "": no line
	}{
		{"drop", ends4(22, 1).udpIn(), both, "filter: in drop UDP{100.64.0.2:1 > 100.64.0.1:22}, 41 bytes, reason no-rule"},
		{"drop, only accepts asked", ends4(22, 1).udpIn(), filter.LogAccepts, ""},
		{"drop, nothing asked", ends4(22, 1).udpIn(), 0, ""},
		{"jailed", e.udpIn(), both | filter.Jailed, "reason jailed"},
		{"accept", e.udpIn(), both, "filter: in accept UDP{100.64.0.2:5000 > 100.64.0.1:80}"},
		{"accept, only drops asked", e.udpIn(), filter.LogDrops, ""},
		{"accept out", ends4(1, 2).udpOut(), both, "filter: out accept UDP{100.64.0.1:1 > 100.64.0.2:2}"},
		{"first fragment out", out(craft.Cut(long, 1, 0, 32)), both, "filter: out accept"},
		{"later fragment out, which starts no flow", out(craft.Cut(long, 1, 32, 99)), both, ""},
		{"silent drop", multicast, both, ""},
		{"malformed", in([]byte{1, 2, 3}), both, ""},
		{"other source", in(udpBetween("10.0.0.1", host4)), both, ""},
		{"other destination", in(udpBetween(peer4, "10.0.0.1")), both, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log lines
			f := newFilter(t, filter.Config{
				Matches: []filter.Match{rule(port(80))}, Logf: log.logf, LogIPs: nets("100.64.0.0/10", "224.0.0.0/4"),
			})
			judge(f, 0, tt.ev, tt.flags)
			switch {
			case tt.want == "" && len(log.all) != 0, tt.want != "" && len(log.all) != 1:
				t.Fatalf("lines %q, want %q", log.all, tt.want)
			case tt.want != "" && !strings.Contains(log.all[0], tt.want):
				t.Errorf("line %q, want %q", log.all[0], tt.want)
			}
			// A packet of a known flow is no event.
			if v := judge(f, 1, tt.ev, tt.flags); v.Response == filter.Accept && len(log.all) > 1 {
				t.Errorf("logged again: %q", log.all)
			}
		})
	}
}

// LogIPs narrows the log; a Logf alone gets all of it.
func TestLogIPs(t *testing.T) {
	tests := []struct {
		name string
		ips  []netip.Prefix
		want int // of the two lines, one for each IP version
	}{
		{"nil: all", nil, 2},
		{"empty: none", []netip.Prefix{}, 0},
		{"one address of two", nets(host4 + "/32"), 0},
		{"both", nets(host4+"/32", peer4+"/32"), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log lines
			f := newFilter(t, filter.Config{Logf: log.logf, LogIPs: tt.ips})
			judge(f, 0, ends4(22, 1).udpIn(), filter.LogDrops)
			judge(f, 0, ends6(22, 1).udpIn(), filter.LogDrops)
			if len(log.all) != tt.want {
				t.Errorf("lines %q, want %d", log.all, tt.want)
			}
		})
	}
}

func TestLogIsRateLimited(t *testing.T) {
	var log lines
	f := newFilter(t, filter.Config{Logf: log.logf, LogIPs: anywhere})
	for range 1000 {
		judge(f, 0, ends4(80, 1).udpIn(), filter.LogDrops)
	}
	burst := len(log.all)
	if burst == 0 || burst > 100 {
		t.Errorf("%d lines at once", burst)
	}
	for i := range 1000 {
		judge(f, time.Duration(i)*time.Millisecond, ends4(80, 1).udpIn(), filter.LogDrops)
	}
	if n := len(log.all) - burst; n == 0 || n > 20 {
		t.Errorf("%d lines in the second after", n)
	}
	// Lines and the numbers of those left out add up.
	judge(f, minute, ends4(80, 1).udpIn(), filter.LogDrops)
	sum := len(log.all)
	for _, line := range log.all {
		if _, rest, ok := strings.Cut(line, "reason no-rule; "); ok {
			var n int
			if _, err := fmt.Sscanf(rest, "%d lines left out before", &n); err != nil || n == 0 {
				t.Errorf("%q: %v", line, err)
			}
			sum += n
		}
	}
	if sum != 2001 {
		t.Errorf("the log accounts for %d events of 2001", sum)
	}
}
