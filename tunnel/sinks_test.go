package tunnel_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/tunnel"
)

// Captures of a tunnel name its peers and the places of its rules, and a sink sees
// nothing after its stop but what is on its way.
func TestObserve(t *testing.T) {
	a, b := linked(t)
	a.Policy = filepath.Join(t.TempDir(), "policy.json")
	replace(t, a.Policy, allow(22))
	b.Peers[0].Required = true
	ta, tb := start(t, a), start(t, b)
	l, err := ta.Listen(within(t), "tcp", "10.9.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var file bytes.Buffer
	names := ta.PacketNames()
	c, err := capture.New(&file, capture.Options{Peer: names.Peer, Rule: names.Rule})
	if err != nil {
		t.Fatal(err)
	}
	var seen, stopped atomic.Uint64
	stopFirst, err := ta.Observe(func(*tstun.Observation) { stopped.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	stop, err := ta.Observe(func(o *tstun.Observation) {
		seen.Add(1)
		c.Sink(o)
	})
	if err != nil {
		t.Fatal(err)
	}
	dial := func() {
		conn, err := tb.DialContext(within(t), "tcp", "10.9.0.1:22")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	dial()
	refused, err := tb.DialContext(within(t), "udp", "10.9.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	if _, err := refused.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ta.Status().Counters.In.Drops[filter.ReasonNoRule] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was refused")
		}
	}
	if stopped.Load() == 0 {
		t.Error("the first sink saw nothing")
	}
	stopFirst()
	stopFirst()
	dial() // begins after the stop: calls of Read and Write that had the sink have returned by its end
	before := stopped.Load()
	dial()
	if now := stopped.Load(); now != before {
		t.Errorf("%d packets after the stop", now-before)
	}
	stop()
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	r, err := capture.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"peer=other rule=" + a.Policy + ":1:47": false, "peer=other rule=": false}
	for p, err := r.Next(); err == nil; p, err = r.Next() {
		if !p.Inbound {
			continue
		}
		if p.Note.Verdict.Response.IsDrop() != (p.Note.Rule == "") {
			t.Errorf("%s", p.Comment)
		}
		want["peer="+p.Note.Peer+" rule="+p.Note.Rule] = true
	}
	for text, there := range want {
		if !there || len(want) != 2 {
			t.Errorf("no packet with %q: %v", text, want)
		}
	}
}

// There is a limit, and each stop gives a place back.
func TestObserveLimit(t *testing.T) {
	a, _ := linked(t)
	tun := start(t, a)
	var stops []func()
	for range tunnel.MaxSinks {
		stop, err := tun.Observe(func(*tstun.Observation) {})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	if _, err := tun.Observe(func(*tstun.Observation) {}); !errors.Is(err, tunnel.ErrSinks) {
		t.Errorf("one too many: %v", err)
	}
	stops[3]()
	if _, err := tun.Observe(func(*tstun.Observation) {}); err != nil {
		t.Error(err)
	}
}
