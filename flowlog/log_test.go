package flowlog_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/flowlog"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/packet"
)

const (
	syn = packet.TCPSyn
	ack = packet.TCPAck
	fin = packet.TCPFin
)

// bubble runs f with a Wrapper and its Log, and with time that passes when all wait.
func bubble(t *testing.T, c flowlog.Config, f func(t *testing.T, r *rig.Rig, l *flowlog.Log)) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.Of(t, tstun.Wrap(nil, testdev.New(8)), 8)
		defer r.W.Close()
		r.Allow(rig.To(rig.Port(80)))
		l := flowlog.New(r.W, c)
		defer l.Close()
		f(t, r, l)
	})
}

// fromPeer and fromHost take one packet through the Wrapper.
func fromPeer(r *rig.Rig, flags packet.TCPFlag, port, to uint16) {
	_, _ = r.W.Write(rig.Wire(craft.TCP(craft.Peer4, port, craft.Host4, to, flags, "")), rig.Offset)
}

// texts returns the records as text.
func texts(records []flowlog.Record) (s []string) {
	for _, r := range records {
		s = append(s, r.String())
	}
	return s
}

func since(l *flowlog.Log, d time.Duration) []flowlog.Record {
	return slices.Collect(l.Since(time.Now().Add(-d)))
}

// What ended and what was refused can be asked for, before it is forgotten and after.
func TestSince(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		fromPeer(r, syn, 1000, 80)
		fromPeer(r, syn, 1001, 81)
		fromPeer(r, syn, 1001, 81)
		refused := "refused in tcp 100.64.0.2:1001 > 100.64.0.1:81, reason no-rule, 2 packets, 80 bytes"
		if got := texts(since(l, time.Minute)); !slices.Equal(got, []string{refused}) {
			t.Errorf("at first %q", got)
		}
		isOpen := "updated in tcp 100.64.0.2:1000 > 100.64.0.1:80, 0 packets out, 0 bytes, 1 in, 40 bytes"
		if got := texts(slices.Collect(l.Flows(time.Now().Add(-time.Minute)))); !slices.Equal(got, []string{isOpen, refused}) {
			t.Errorf("with open flows %q", got)
		}
		// The connection never came to be; it is forgotten soon after its timeout.
		time.Sleep(10 * time.Minute)
		ended := "ended in tcp 100.64.0.2:1000 > 100.64.0.1:80, idle, 0 packets out, 0 bytes, 1 in, 40 bytes"
		if got := texts(since(l, time.Hour)); !slices.Equal(got, []string{"refused-ended" + strings.TrimPrefix(refused, "refused"), ended}) {
			t.Errorf("later %q", got)
		}
		if got := texts(since(l, time.Minute)); len(got) != 0 {
			t.Errorf("of the last minute %q", got)
		}
		if got := texts(slices.Collect(l.Flows(time.Now().Add(-time.Hour)))); !slices.Equal(got, texts(since(l, time.Hour))) {
			t.Errorf("with open flows, of which there are none, %q", got)
		}
		open := 0
		for range r.W.Flows().All {
			open++
		}
		if open != 0 {
			t.Errorf("%d flows are not forgotten", open)
		}
	})
}

// next returns what a Subscription gets, until nothing comes for a second.
func next(t *testing.T, s *flowlog.Subscription) (got []flowlog.Record) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		r, err := s.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
}

func wantKinds(t *testing.T, got []flowlog.Record, want ...flowlog.Kind) {
	t.Helper()
	kinds := make([]flowlog.Kind, len(got))
	for i, r := range got {
		kinds[i] = r.Kind
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("got %q, want %v", texts(got), want)
	}
}

func TestSubscription(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		fromPeer(r, syn, 999, 80) // before it
		s := l.Subscribe(flowlog.Options{})
		defer s.Close()
		fromPeer(r, syn, 1000, 80)
		fromPeer(r, ack, 1000, 80)
		fromPeer(r, syn, 1001, 81)
		fromPeer(r, syn, 1002, 81) // the same, from another port
		got := next(t, s)
		wantKinds(t, got, flowlog.Began, flowlog.Refused)
		if f := got[0].Flow; f.Initiator != filter.InitiatorPeer || f.Src != netip.AddrPortFrom(craft.Host4, 80) || f.Policy != r.W.GetFilter().Serial() {
			t.Errorf("it began as %+v", f)
		}
		fromPeer(r, packet.TCPRst, 1000, 80)
		time.Sleep(time.Hour)
		got = next(t, s)
		wantKinds(t, got, flowlog.RefusedEnded, flowlog.Ended, flowlog.Ended)
		ends := map[uint16]tstun.FlowEnd{}
		for _, r := range got {
			ends[r.Flow.Dst.Port()] = r.Flow.End
		}
		if ends[999] != tstun.FlowIdle || ends[1000] != tstun.FlowReset {
			t.Errorf("they ended %v", ends)
		}
		if s.Lost() != 0 {
			t.Errorf("%d records lost", s.Lost())
		}
		l.Close()
		if _, err := s.Next(t.Context()); err != flowlog.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	})
}

// A flow whose addresses begin another one has ended as it was, not as the other is.
func TestNextConnectionEndsTheOneBefore(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		s := l.Subscribe(flowlog.Options{})
		defer s.Close()
		fromPeer(r, syn, 1000, 80)
		fromPeer(r, packet.TCPRst, 1000, 80)
		fromPeer(r, syn, 1000, 80)
		got := next(t, s)
		wantKinds(t, got, flowlog.Began, flowlog.Ended, flowlog.Began)
		if f := got[1].Flow; f.End != tstun.FlowReset || f.RxPackets != 2 {
			t.Errorf("the first ended as %v", got[1])
		}
	})
}

func TestUpdates(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		s := l.Subscribe(flowlog.Options{Updates: 100 * time.Millisecond})
		defer s.Close()
		fromPeer(r, syn, 1000, 80)
		fromPeer(r, syn, 1001, 81)
		wantKinds(t, next(t, s)[:2], flowlog.Began, flowlog.Refused)
		fromPeer(r, ack, 1000, 80)
		fromPeer(r, syn, 1001, 81)
		got := next(t, s)
		wantKinds(t, got, flowlog.Updated, flowlog.Refused)
		if got[0].Flow.RxPackets != 2 || got[1].Refused.Packets != 2 {
			t.Errorf("updates %q", texts(got))
		}
		wantKinds(t, next(t, s)) // nothing changed
	})
}

// Updates come also while there is always a record to read.
func TestUpdatesAmongRecords(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		s := l.Subscribe(flowlog.Options{Updates: 100 * time.Millisecond})
		defer s.Close()
		updates := 0
		for port := range uint16(20) {
			time.Sleep(100 * time.Millisecond)
			fromPeer(r, ack, 1000, 80)
			fromPeer(r, syn, 2000+port, 80)
			got, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind == flowlog.Updated {
				updates++
			}
		}
		if updates < 5 {
			t.Errorf("%d updates in 2 s", updates)
		}
	})
}

// Who reads too slowly loses records, which are counted exactly, and holds nobody up.
func TestSlowSubscriber(t *testing.T) {
	const records = 100
	bubble(t, flowlog.Config{Memory: records * flowlog.RecordSize}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		s := l.Subscribe(flowlog.Options{})
		defer s.Close()
		const flows = 3 * records
		for port := range uint16(flows) {
			fromPeer(r, syn, 1000+port, 80)
		}
		got := next(t, s)
		if len(got) != records || s.Lost() != flows-records {
			t.Errorf("%d records, %d lost of %d", len(got), s.Lost(), flows)
		}
		if last := got[len(got)-1].Flow.Dst.Port(); last != 1000+flows-1 {
			t.Errorf("the last one is from port %d", last)
		}
	})
}

// Whatever is pushed out of tables that are full is told: what ended and what is open is
// what the Wrapper counted.
func TestNothingIsForgottenUntold(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		f, err := filter.New(filter.Config{Matches: []filter.Match{rig.To(rig.Port(80))}, Local: rig.Local(), Limits: filter.Limits{Flows: 50}})
		if err != nil {
			t.Fatal(err)
		}
		r.W.SetFilter(f)
		s := l.Subscribe(flowlog.Options{})
		defer s.Close()
		const flows, sources = 1000, 9000
		for port := range uint16(flows) {
			for range 1 + port%3 {
				fromPeer(r, syn, 1000+port, 80)
			}
		}
		for n := range sources { // more than there is room for at once, some of them scans
			if n%3000 == 0 {
				time.Sleep(2 * time.Minute)
			}
			src := netip.AddrFrom4([4]byte{100, 64, byte(n >> 8), byte(n)})
			for port := range uint16(1 + n%12) {
				_, _ = r.W.Write(rig.Wire(craft.TCP(src, 1, craft.Host4, 100+port, syn, "")), rig.Offset)
			}
		}
		time.Sleep(time.Second)
		var passed, dropped uint64
		count := func(r *flowlog.Record) {
			switch r.Kind {
			case flowlog.Ended:
				passed += r.Flow.RxPackets
			case flowlog.RefusedEnded:
				dropped += r.Refused.Packets
			}
		}
		for _, r := range next(t, s) {
			count(&r)
		}
		snapshot := r.W.Flows()
		for f := range snapshot.All {
			passed += f.RxPackets
		}
		for f := range snapshot.Refused {
			dropped += f.Packets
		}
		in := snapshot.Counters.In
		if passed != in.Packets || dropped != in.Dropped() || s.Lost() != 0 {
			t.Errorf("records have %d passed and %d dropped, the counters %d and %d; %d lost", passed, dropped, in.Packets, in.Dropped(), s.Lost())
		}
	})
}

func TestText(t *testing.T) {
	bubble(t, flowlog.Config{}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		var lines []string
		ended := make(chan error)
		go func() {
			ended <- l.Text(t.Context(), func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) },
				func(r *flowlog.Record) bool { return r.Kind.IsRefused() })
		}()
		synctest.Wait()
		fromPeer(r, syn, 1000, 80)
		fromPeer(r, syn, 1001, 81)
		synctest.Wait()
		l.Close()
		if err := <-ended; err != flowlog.ErrClosed {
			t.Errorf("it ended with %v", err)
		}
		if len(lines) != 1 || !strings.Contains(lines[0], "refused in tcp 100.64.0.2:1001 > 100.64.0.1:81, reason no-rule") {
			t.Errorf("lines %q", lines)
		}
	})
}

// Config.Refused is told of each refused flow once, also where nobody subscribed.
func TestToldOfRefusedFlows(t *testing.T) {
	var told []tstun.RefusedRecord
	bubble(t, flowlog.Config{Refused: func(r tstun.RefusedRecord) { told = append(told, r) }}, func(t *testing.T, r *rig.Rig, l *flowlog.Log) {
		fromPeer(r, syn, 1000, 80)
		fromPeer(r, syn, 1001, 81)
		fromPeer(r, syn, 1002, 81)
		fromPeer(r, syn, 1003, 82)
		if len(told) != 2 || told[0].Src.Port() != 81 || told[1].Src.Port() != 82 || told[0].Reason != filter.ReasonNoRule {
			t.Errorf("told %+v", told)
		}
	})
}
