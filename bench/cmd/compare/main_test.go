package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tstun/bench/packets"
	"tstun/bench/report"
	"tstun/bench/tunnel"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"--only", "packet,udp,ping", "--seconds", "0.5", "--sizes", "64,1200", "--rounds", "7", "--json", "x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !o.packet || !o.tunnel || !slices.Equal(o.measures, []string{"udp", "ping"}) || o.transfer != 500*time.Millisecond ||
		!slices.Equal(o.sizes, []int{64, 1200}) || o.rounds != 7 || o.json != "x" {
		t.Errorf("parsed %+v", o)
	}
	if _, there := o.settings["json"]; there || o.settings["rounds"] != "7" {
		t.Errorf("settings are %v, want them without file names", o.settings)
	}
	if o, err = parse([]string{"--only", "udp,tunnel"}, io.Discard); err != nil || len(o.measures) > 0 {
		t.Errorf("a measure and the whole tunnel: measures %v, error %v; want all", o.measures, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // in the error
	}{
		{"--only packets", "packet, tunnel, or of"},
		{"--only ", "packet, tunnel, or of"},
		{"--rounds 0", "at least 1"},
		{"--rounds x", "invalid value"},
		{"--seconds 0.01", "0.1 to 3600"},
		{"--sizes 64,big", "with commas between"},
		{"--sizes 65000", "from 1 to 1472"},
		{"--rates 0", "from 1 to"},
		{"--pings 0", "at least 1"},
		{"--mtu 1500", "576 to 1440"},
		{"--sample 0", "above 0"},
		{"packet", "only flags"},
	} {
		if _, err := parse(strings.Split(tt.args, " "), io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.args, err, tt.want)
		}
	}
}

func TestHints(t *testing.T) {
	for err, want := range map[error]string{
		tunnel.ErrNeedsRoot: "--only packet", tunnel.ErrNeedsIperf: "install", errors.ErrUnsupported: "--only packet",
	} {
		if got := hint(err); !strings.Contains(got, want) {
			t.Errorf("hint for %q is %q, want one with %q", err, got, want)
		}
	}
}

// The whole packet part, with the least of everything, ends with a table and
// both files.
func TestRunPacket(t *testing.T) {
	dir := t.TempDir()
	json, svg := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.svg")
	var out strings.Builder
	if err := run([]string{"--only", "packet", "--rounds", "1", "--sample", "0.001", "--json", json, "--svg", svg}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"== packet", "Write, batch 128, TCP, one flow", packets.Tailscale, packets.Nebula} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	r, err := report.ReadJSON(json)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete || len(r.Measures(report.Packet)) != len(packets.Matrix()) {
		t.Errorf("complete: %v, %d measures; want all %d", r.Complete, len(r.Measures(report.Packet)), len(packets.Matrix()))
	}
	var again strings.Builder
	if err := run([]string{"--from", json}, &again, io.Discard); err != nil || again.String() != out.String() {
		t.Errorf("from the file it is shown otherwise (error %v):\n%s", err, again.String())
	}
	if b, err := os.ReadFile(svg); err != nil || !strings.Contains(string(b), "Read, batch 1, UDP, one flow") {
		t.Errorf("the chart lacks a measure (error %v)", err)
	}
}

// The chart of tunnels shows what can be compared with bare, and nothing else.
func TestPicture(t *testing.T) {
	r := report.New()
	for _, kind := range tunnel.Kinds() {
		s := report.Series{Part: report.Tunnel, Measure: "TCP", Quantity: "throughput", Kind: kind, Better: report.More}
		r.Add(s, 2)
		s.Quantity, s.Better = "sender busy", report.Neither
		r.Add(s, 50)
		if kind != tunnel.Bare {
			s.Measure, s.Quantity, s.Better = "injected", "received", report.More
			r.Add(s, 3)
		}
	}
	c := picture(r)
	if len(c.Panels) != 1 || len(c.Panels[0].Groups) != 1 || len(c.Panels[0].Groups[0].Bars) != 2 {
		t.Errorf("the chart is %+v, want one panel with one group of two bars", c)
	}
}

func TestFilesAreWholeOrUntouched(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	err := toFile(name, func(w io.Writer) error { io.WriteString(w, "half"); return failed })
	if b, _ := os.ReadFile(name); !errors.Is(err, failed) || string(b) != "old" {
		t.Errorf("error %v, content %q; want %v and the old content", err, b, failed)
	}
	if left, _ := filepath.Glob(name + ".*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
