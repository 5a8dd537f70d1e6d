package tunnel_test

import (
	"context"
	"path/filepath"
	"testing"

	"tstun/key"
	"tstun/tunnel"
)

// next returns the next event.
func next(ctx context.Context, t *testing.T, events <-chan tunnel.Event) tunnel.Event {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the events ended")
		}
		return e
	case <-ctx.Done():
		t.Fatal("no event")
		return tunnel.Event{}
	}
}

// nextOf returns the next event of a kind.
func nextOf(ctx context.Context, t *testing.T, events <-chan tunnel.Event, kind tunnel.EventKind) tunnel.Event {
	t.Helper()
	for {
		if e := next(ctx, t, events); e.Kind == kind {
			return e
		}
	}
}

// Each reader sees each event, those of the time before it as well.
func TestPeerEvents(t *testing.T) {
	_, b, _ := pair(t, new(logged))
	for range 2 {
		e := next(within(t), t, b.Events(within(t)))
		if p := b.Status().Peers[0]; e.Kind != tunnel.PeerUp || e.Peer != p.PublicKey || e.PeerName != "other" || e.Endpoint != p.Endpoint || e.Time.IsZero() || e.Lost != 0 {
			t.Errorf("event %+v", e)
		}
	}
	ctx, cancel := context.WithCancel(within(t))
	canceled, events := b.Events(ctx), b.Events(within(t))
	cancel()
	for range canceled { // ends
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	n := 0
	for range events { // ends, with what nobody had read
		n++
	}
	if n == 0 {
		t.Error("Close took what was there to read")
	}
}

// Of more events than are kept, the latest are there, and the rest is counted.
func TestPolicyEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	replace(t, path, allow(22))
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Policy = path
	tun := start(t, c)
	reader := tun.Events(within(t))
	if e := next(within(t), t, reader); e.Kind != tunnel.PolicyLoaded || e.Text != path || e.Lost != 0 {
		t.Errorf("event %+v", e)
	}
	for range 70 {
		if err := tun.ReloadPolicy(); err != nil {
			t.Fatal(err)
		}
	}
	replace(t, path, "{")
	if err := tun.ReloadPolicy(); err == nil {
		t.Fatal("a bad file was taken")
	}
	refused := nextOf(within(t), t, tun.Events(within(t)), tunnel.PolicyRefused)
	late := tun.Events(within(t))
	for name, events := range map[string]<-chan tunnel.Event{"slow": reader, "late": late} {
		n, lost, total := 0, 0, map[string]int{"slow": 71, "late": 72}[name]
		for e := (tunnel.Event{}); e.Kind != tunnel.PolicyRefused; n++ {
			e = next(within(t), t, events)
			lost += e.Lost
			if e.Kind == tunnel.PolicyRefused && e.Text != refused.Text {
				t.Errorf("%s: last %+v", name, e)
			}
		}
		// The slow reader's first may have been taken before the rest came, and
		// the watch may have refused the file as well.
		if n < 63 || n > 65 || n+lost != total {
			t.Errorf("%s: %d events and %d lost of %d", name, n, lost, total)
		}
	}
}
