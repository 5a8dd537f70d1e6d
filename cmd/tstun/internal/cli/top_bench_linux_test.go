package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/cmd/tstun/internal/control/controltest"
)

// BenchmarkTop is tstun top on a terminal, a process of its own, beside a tunnel with
// 100,000 open flows and 10,000 refused ones, 10,000 rules and 64 peers, ten seconds an
// iteration. It reports what top takes of a core, and what the tunnel takes more than
// without it.
func BenchmarkTop(b *testing.B) {
	const window = 10 * time.Second
	dir, _ := controltest.Crowd(b, 100_000, 10_000)
	own := func() time.Duration {
		before := spent(b)
		time.Sleep(window)
		return spent(b) - before
	}
	idle := own()
	terminal, top := topOnTerminal(b, dir)
	terminal.wait(b, "asked every")
	var client, tunnel time.Duration
	n := 0
	for b.Loop() {
		before := spentBy(b, top.Process.Pid)
		tunnel += own() - idle
		client += spentBy(b, top.Process.Pid) - before
		n++
	}
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / (float64(n) * window.Seconds()) }
	b.ReportMetric(share(client), "%core-top")
	b.ReportMetric(share(tunnel), "%core-tunnel")
}

// terminalText is what was drawn on a terminal.
type terminalText struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write takes what is drawn.
func (s *terminalText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// wait waits until something was drawn.
func (s *terminalText) wait(b *testing.B, want string) {
	b.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		drawn := strings.Contains(s.text.String(), want)
		s.mu.Unlock()
		if drawn {
			return
		}
	}
	b.Fatalf("top does not show %q: %q", want, s.text.String())
}

// topOnTerminal runs tstun top on a terminal of 120 by 40, until the benchmark ends.
func topOnTerminal(b *testing.B, dir string) (*terminalText, *exec.Cmd) {
	b.Helper()
	near, far := openTerminal(b)
	if err := unix.IoctlSetWinsize(int(near.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("tstun", "top", "--state-dir", dir)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = far, far, far
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	_ = far.Close()
	text, drawn := new(terminalText), make(chan struct{})
	go func() {
		defer close(drawn)
		_, _ = io.Copy(text, near) // ends by EIO when nobody has the other side
	}()
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-drawn
	})
	return text, cmd
}

// spent returns the processor time of this process.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spentBy returns the processor time of all threads of another process.
func spentBy(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	var user, system int64
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // proc_pid_stat(5): fields 14 and 15, in hundredths of a second
	f := strings.Fields(rest)
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
