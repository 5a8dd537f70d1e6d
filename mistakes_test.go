package tstun_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/packet"
)

// logLines is a Logf that keeps what it gets.
type logLines struct {
	mu  sync.Mutex
	all []string
}

func (l *logLines) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf(format, args...))
}

// with returns the lines that hold text.
func (l *logLines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// loggingRig returns a Rig whose log can be read.
func loggingRig(t testing.TB) (*rig.Rig, *logLines) {
	log := new(logLines)
	dev := testdev.New(4)
	r := rig.Of(t, tstun.Wrap(log.logf, dev), 4)
	r.Dev = dev
	t.Cleanup(func() { r.W.Close() })
	return r, log
}

func wantLines(t *testing.T, log *logLines, text string, want int) {
	t.Helper()
	if got := log.with(text); len(got) != want {
		t.Errorf("%d lines with %q, want %d: %q", len(got), text, want, log.all)
	}
}

var out4, in4 = craft.UDP(host4, 1, peer4, 2, "x"), craft.UDP(peer4, 2, host4, 1, "x")

func TestMistakeNoFilter(t *testing.T) {
	const line = "no filter is set, so every packet is dropped: call SetFilter"
	t.Run("inbound", func(t *testing.T) {
		r, log := loggingRig(t)
		for range 3 {
			r.FromPeer(in4, in4)
			wantLines(t, log, line, 1)
		}
	})
	t.Run("outbound", func(t *testing.T) {
		r, log := loggingRig(t)
		wantLines(t, log, line, 0)
		for range 3 {
			r.FromHost(out4)
			wantLines(t, log, line, 1)
		}
		r.FromPeer(in4)
		wantLines(t, log, line, 1)
	})
	t.Run("taken away on purpose", func(t *testing.T) {
		r, log := loggingRig(t)
		r.W.SetFilter(nil)
		r.FromHost(out4)
		r.FromPeer(in4)
		wantLines(t, log, line, 0)
	})
	t.Run("nothing lost", func(t *testing.T) {
		r, log := loggingRig(t)
		r.W.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Handled }
		r.FromPeer(in4)
		wantLines(t, log, line, 0)
	})
}

func TestMistakeNothingLocal(t *testing.T) {
	const line = "set Local in filter.Config to the host's addresses"
	set := func(r *rig.Rig, c filter.Config) {
		f, err := filter.New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.W.SetFilter(f)
	}
	t.Run("forgotten", func(t *testing.T) {
		r, log := loggingRig(t)
		set(r, filter.Config{Matches: []filter.Match{rig.Everything()}})
		r.FromHost(out4)
		wantLines(t, log, line, 0) // it goes out
		for range 3 {
			r.FromPeer(in4)
			wantLines(t, log, line, 1)
		}
		set(r, filter.Config{})
		r.FromPeer(in4)
		wantLines(t, log, line, 1)
	})
	t.Run("another address", func(t *testing.T) {
		r, log := loggingRig(t)
		set(r, filter.Config{Matches: []filter.Match{rig.Everything()}, Local: rig.Local(peer4)})
		r.FromPeer(in4)
		wantLines(t, log, line, 0)
		if n := r.W.Counters().In.Drops[filter.ReasonNotLocal]; n != 1 {
			t.Errorf("%d drops as not local, want 1", n)
		}
	})
}

func TestMistakeNobodyReads(t *testing.T) {
	const line = "Read was never called"
	inject := func(r *rig.Rig, n int) {
		for range n {
			_ = r.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "x"))
		}
	}
	t.Run("never", func(t *testing.T) {
		r, log := loggingRig(t)
		inject(r, 1024)
		wantLines(t, log, line, 0)
		inject(r, 10)
		wantLines(t, log, line, 1)
	})
	t.Run("once", func(t *testing.T) {
		r, log := loggingRig(t)
		inject(r, 1)
		r.Read(1)
		inject(r, 1034)
		if n := r.W.Counters().QueueOverflows; n != 10 {
			t.Errorf("%d overflows, want 10", n)
		}
		wantLines(t, log, line, 0)
	})
	t.Run("from a hook of the first Read", func(t *testing.T) {
		r, log := loggingRig(t)
		r.W.SetFilter(filter.NewAllowAll(nil))
		r.W.PostFilterOut = func(*packet.Parsed, *tstun.Wrapper) filter.Response {
			inject(r, 1034)
			return filter.Accept
		}
		r.FromHost(out4)
		wantLines(t, log, line, 0)
	})
}

const neverUp = "call Up of wireguard-go's device"

// TestMistakeSilence: packets go out for five seconds and none comes in.
func TestMistakeSilence(t *testing.T) {
	tests := []struct {
		name string
		each func(r *rig.Rig) // once a second
		want int
	}{
		{"from the host", func(r *rig.Rig) { r.FromHost(out4) }, 1},
		{"injected", func(r *rig.Rig) {
			_ = r.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "x"))
			r.Read(1)
		}, 1},
		{"answered", func(r *rig.Rig) { r.FromHost(out4); r.FromPeer(in4) }, 0},
		{"only inbound", func(r *rig.Rig) { r.FromPeer(in4) }, 0},
		{"dropped", func(r *rig.Rig) { r.FromHost(craft.UDP(host4, 1, host4, 2, "x")[:10]) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, log := loggingRig(t)
				r.W.SetFilter(filter.NewAllowAll(nil))
				for second := range 20 {
					tt.each(r)
					if second < 5 {
						wantLines(t, log, neverUp, 0)
					}
					time.Sleep(time.Second)
				}
				wantLines(t, log, neverUp, tt.want)
			})
		})
	}
	t.Run("answered late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, log := loggingRig(t)
			r.W.SetFilter(filter.NewAllowAll(nil))
			r.FromHost(out4)
			r.FromPeer(in4)
			for range 20 {
				time.Sleep(time.Second)
				r.FromHost(out4)
			}
			wantLines(t, log, neverUp, 0)
		})
	})
}

// TestMistakeNeverUp: a wireguard-go device that nobody brings up reads the
// Wrapper and throws away what it reads, and the TUN's own up event does not
// reach it. That is what the line about silence is for.
func TestMistakeNeverUp(t *testing.T) {
	r, _ := loggingRig(t)
	r.W.SetFilter(filter.NewAllowAll(nil))
	passed := make(chan struct{})
	r.W.PostFilterOut = func(*packet.Parsed, *tstun.Wrapper) filter.Response {
		passed <- struct{}{}
		return filter.Accept
	}
	var wgLog logLines
	wg := device.NewDevice(r.W, conn.NewDefaultBind(), &device.Logger{Verbosef: wgLog.logf, Errorf: wgLog.logf})
	defer wg.Close()
	const peer = "public_key=00000000000000000000000000000000000000000000000000000000000000aa\nallowed_ip=0.0.0.0/0\n"
	if err := wg.IpcSet("private_key=" + strings.Repeat("00", 31) + "40\n" + peer); err != nil {
		t.Fatal(err)
	}
	r.Dev.Event(tun.EventUp)
	if e := <-r.W.EventsUpDown(); e != tun.EventUp {
		t.Errorf("event %v, want up", e)
	}
	for range 3 {
		r.Dev.Send(out4)
		<-passed
	}
	wg.Close() // after which its routines have logged all that they do
	if lines := wgLog.with("Interface up"); len(lines) > 0 {
		t.Errorf("wireguard-go came up: %q", lines)
	}
	if lines := wgLog.with("handshake initiation"); len(lines) > 0 {
		t.Errorf("wireguard-go took a packet: %q", lines)
	}
}
