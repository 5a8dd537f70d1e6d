package cli_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func deadline() time.Time { return time.Now().Add(inTime) }

// manager is the end of sd_notify(3) that a service manager has.
type manager struct {
	path string
	conn *net.UnixConn

	mu  sync.Mutex
	got []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := m.conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.got = append(m.got, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// await waits for a message that begins so, and forgets it and those before it.
func (m *manager) await(t *testing.T, prefix string) {
	t.Helper()
	for end := deadline(); time.Now().Before(end); time.Sleep(time.Millisecond) {
		m.mu.Lock()
		for i, text := range m.got {
			if strings.HasPrefix(text, prefix) {
				m.got = m.got[i+1:]
				m.mu.Unlock()
				return
			}
		}
		m.mu.Unlock()
	}
	t.Fatalf("no %q, but %q", prefix, m.got)
}

// had reports whether a message that begins so is there.
func (m *manager) had(prefix string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, text := range m.got {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func policyFor(port int) string {
	return fmt.Sprintf(`{"local": "10.77.0.1", "accept": [{"proto": "tcp", "src": "*", "dst": "10.77.0.1:%d"}]}`, port)
}
