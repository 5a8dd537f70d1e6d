package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/bench/report"
	"tstun/bench/tunnel"
)

// TestMain lets the test be the program that comparisons start as agents.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "agent" {
		if err := tunnel.Agent(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func config(t *testing.T) tunnel.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return tunnel.Config{
		Rounds: 1, Time: 500 * time.Millisecond, Sizes: []int{200}, Rates: []int{5000}, Pings: 20, MTU: 1420,
		Self: []string{self, "agent"}, Logf: t.Logf,
	}
}

// children returns how many processes this one has.
func children(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	n := 0
	for _, f := range files {
		b, _ := os.ReadFile(f)
		n += len(strings.Fields(string(b)))
	}
	return n
}

// One short round of all measures has figures of two kinds, and the others tunnel too.
func TestCompare(t *testing.T) {
	requireRoot(t)
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skip("needs iperf3")
	}
	r := report.New()
	few, others := config(t), config(t)
	few.Kinds = []string{tunnel.Bare, tunnel.Tstun}
	others.Kinds, others.Only = []string{tunnel.Alone, tunnel.Tailscale}, []string{tunnel.Ping}
	if err := errors.Join(tunnel.Compare(t.Context(), few, r), tunnel.Compare(t.Context(), others, r)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range others.Kinds {
		wantFigure(t, r, "UDP round trip, one at a time", "median", kind)
	}
	for measure, quantity := range map[string]string{
		"TCP, one stream": "throughput", "TCP, 64 streams": "throughput", "UDP, 200 bytes, full rate": "received",
		"TCP in VXLAN, without UDP checksums": "throughput", "TCP in VXLAN, with UDP checksums": "throughput",
		"UDP, 200 bytes, 5,000 packets/s offered": "offered", "UDP round trip, one at a time": "median",
		"UDP round trip, one in 2ms": "switches, both nodes", "UDP round trip, one in 20ms": "processor time, both nodes",
		"UDP, 200 bytes, injected, full rate": "received",
	} {
		for _, kind := range few.Kinds {
			if kind == tunnel.Bare && strings.Contains(measure, "injected") {
				continue
			}
			wantFigure(t, r, measure, quantity, kind)
		}
	}
	if n := children(t); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}

func wantFigure(t *testing.T, r *report.Report, measure, quantity, kind string) {
	t.Helper()
	s := r.Find(report.Tunnel, measure, quantity, kind)
	if s == nil || len(s.Rounds) != 1 || s.Rounds[0] <= 0 {
		t.Errorf("%s, %s, %s: %+v, want a figure", measure, quantity, kind, s)
	}
}

// A comparison that is cancelled ends soon, at whatever it was, and leaves
// nothing behind.
func TestCancel(t *testing.T) {
	requireRoot(t)
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 400 * time.Millisecond, time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		start := time.Now()
		err := tunnel.Compare(ctx, config(t), report.New())
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled after %v: error %v", after, err)
		}
		if took := time.Since(start) - after; took > 3*time.Second {
			t.Errorf("cancelled after %v, it took another %v to end", after, took)
		}
		if n := children(t); n != 0 {
			t.Errorf("cancelled after %v, %d processes are left", after, n)
		}
	}
}

func TestNeeds(t *testing.T) {
	if os.Geteuid() != 0 {
		if err := tunnel.Compare(t.Context(), config(t), report.New()); !errors.Is(err, tunnel.ErrNeedsRoot) {
			t.Errorf("error %v, want %v", err, tunnel.ErrNeedsRoot)
		}
		return
	}
	t.Setenv("PATH", t.TempDir())
	if err := tunnel.Compare(t.Context(), config(t), report.New()); !errors.Is(err, tunnel.ErrNeedsIperf) {
		t.Errorf("error %v, want %v", err, tunnel.ErrNeedsIperf)
	}
}
