package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/key"
	"tstun/tunnel"
)

// ask asks for flows and decodes them.
func askFlows(t *testing.T, c *control.Client, q control.FlowsQuery) (all []tunnel.Flow, total tunnel.FlowTotal) {
	t.Helper()
	total, err := c.Flows(within(t), q, func(line []byte) error {
		var f tunnel.Flow
		err := json.Unmarshal(line, &f)
		all = append(all, f)
		return err
	})
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return all, total
}

// GET /v1/flows has the flows that an expression chooses, however many there are, and
// their sum at the end.
func TestFlows(t *testing.T) {
	c := crowd(t, 3000, 700) // which the host answers by some ICMP errors
	begun := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		q                      control.FlowsQuery
		passed, refused, shown int
	}{
		{control.FlowsQuery{Filter: "udp"}, 3000, 700, 3700},
		{control.FlowsQuery{Dropped: true}, 0, 700, 700},
		{control.FlowsQuery{Filter: "dropped and reason no-rule and udp dst port 2000"}, 0, 100, 100},
		{control.FlowsQuery{Filter: "udp and peer peer7"}, 47, 11, 58},
		{control.FlowsQuery{Filter: "accepted and in and src net 10.10.7.0/24 and dst host 10.9.0.1", Since: begun}, 47, 0, 47},
		{control.FlowsQuery{Filter: "out and tcp"}, 0, 0, 0},
		{control.FlowsQuery{Filter: "udp", Limit: 10}, 3000, 700, 20},
		{control.FlowsQuery{Limit: 10, Dropped: true, Since: begun}, 0, 700, 10},
	} {
		all, total := askFlows(t, c, tt.q)
		if total.Passed != tt.passed || total.Refused != tt.refused || total.Shown != tt.shown || len(all) != tt.shown {
			t.Errorf("%+v: %d flows, total %+v", tt.q, len(all), total)
		}
		for _, f := range all {
			if f.Dst.Name != "web" || f.IsRefused() == (f.Rule != nil) || f.IsRefused() && (f.Reason.String() != "no-rule" || f.Nearest == "" && total.Shown == 10) {
				t.Fatalf("%+v: %+v", tt.q, f)
			}
		}
	}
	for text, want := range map[string]string{
		"port 80 and and": `filter: at byte 12: "and": `, "peer nobody": `filter: at byte 5: "nobody": `, "len > 5": "filter: at byte 0: ",
	} {
		_, err := c.Flows(within(t), control.FlowsQuery{Filter: text}, nil)
		var e *control.Error
		if !errors.As(err, &e) || e.Code != 400 || !strings.HasPrefix(e.Message, want) || e.Hint == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	// Who is told that enough is there gets no more.
	enough := errors.New("enough")
	lines := 0
	if _, err := c.Flows(within(t), control.FlowsQuery{}, func([]byte) error { lines++; return enough }); err != enough || lines != 1 {
		t.Errorf("%d lines, %v", lines, err)
	}
}

func TestFlowsErrors(t *testing.T) {
	s, _ := serve(t, start(t, tunnel.Config{
		Mode: tunnel.ModeUserspace, PrivateKey: key.NewPrivate(), RecordMemory: -1, Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")},
	}))
	for query, code := range map[string]int{"limit=0": 400, "limit=x": 400, "since=yesterday": 400, "": 409, "follow": 409, "since=-10m": 409} {
		got, text := ask(t, s, "GET", "/v1/flows?"+query, nil)
		var e control.Error
		if err := json.Unmarshal([]byte(text), &e); err != nil || got != code || e.Message == "" {
			t.Errorf("%s: %d %s", query, got, text)
		}
	}
}

// Who follows is told of what happens from then on, of what was before as far as it is
// asked for, and of the end.
func TestFollowFlows(t *testing.T) {
	a, b := pair(t)
	_, c := serve(t, a)
	l, err := a.ListenPacket(within(t), "udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	send := func(port string) {
		u, err := b.DialContext(within(t), "udp", "10.9.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write([]byte("there")); err != nil {
			t.Fatal(err)
		}
	}
	begun := make(chan tunnel.Flow, 100)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() {
		_, err := c.Flows(ctx, control.FlowsQuery{Follow: true, Filter: "udp and in", Since: time.Now().Add(-time.Hour)}, func(line []byte) error {
			var f tunnel.Flow
			if err := json.Unmarshal(line, &f); err != nil {
				return err
			}
			begun <- f
			return nil
		})
		ended <- err
	}()
	for {
		send("53") // until the stream has begun
		select {
		case f := <-begun:
			if f.Kind != tunnel.FlowBegan || f.Dst.Port != 53 || f.PeerName != "other" {
				t.Errorf("flow %+v", f)
			}
		case err := <-ended:
			t.Fatalf("the stream ended: %v", err)
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"-10m": now.Add(-10 * time.Minute), "90s": now.Add(-90 * time.Second), "2026-11-29T11:00:00Z": now.Add(-time.Hour),
	} {
		if got, err := control.ParseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := control.ParseSince("noon", now); err == nil || !strings.Contains(err.Error(), `"noon"`) {
		t.Errorf("%v", err)
	}
}
