package up

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"tstun/tunnel"
)

// hanging is a tunnel that answers once, and then not before its end.
type hanging struct {
	asked int
	hangs chan struct{} // closed when it hangs
	end   chan struct{}
}

func (h *hanging) Status() tunnel.Status {
	if h.asked++; h.asked == 2 {
		close(h.hangs)
		<-h.end
	}
	return tunnel.Status{ListenPort: 1}
}

// The watchdog is fed by answers of the tunnel, and not by the time alone.
func TestWatchdogIsNotBlind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "2000")
	ctx, cancel := context.WithCancel(t.Context())
	h := &hanging{hangs: make(chan struct{}), end: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		(&runner{log: log{slog.New(slog.DiscardHandler)}}).keepAlive(ctx, h)
		close(ended)
	}()
	<-h.hangs
	cancel()
	manager.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // fifty times the watchdog's
	messages := 0
	for buf := make([]byte, 1024); ; messages++ {
		if _, err := manager.Read(buf); err != nil {
			break
		}
	}
	close(h.end)
	<-ended
	if messages != 1 {
		t.Errorf("%d messages, want the one of the first answer", messages)
	}
}
