package cli_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/cmd/tstun/internal/ui"
)

const (
	// atOnce is how long a command may take to end after a signal, on a
	// machine that does other things too.
	atOnce = 2 * time.Second
	// inTime bounds what a test waits for.
	inTime = 20 * time.Second
)

// SIGINT and SIGTERM end every command at once, with the exit code that is
// documented, whatever it waits for: a pipe that nobody writes to or reads,
// standard input, or a long computation.
func TestSignals(t *testing.T) {
	small := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(small, []byte(`{"local": "10.9.9.9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		args  []string // FIFO is the name of a pipe
		begun func(*testing.T, *signalled)
	}{
		{"a pipe that nobody opens", []string{"check", "FIFO", "FIFO"}, feedsFIFO("")},
		{"a pipe that nobody writes to", []string{"check", "FIFO"}, opensFIFO},
		{"explain of such a pipe", []string{"explain", "--policy", "FIFO", "a", "b:1"}, opensFIFO},
		{"standard input", []string{"check", "-"}, feedsStdin},
		{"standard input, --json", []string{"check", "--json", "-"}, feedsStdin},
		{"standard input, --diff", []string{"check", "--diff", small, "-"}, feedsStdin},
		{"a long explanation", []string{"explain", "--policy", "FIFO", "10.0.0.0/16", "10.9.9.9:1"}, feedsFIFO(manyRules(20000))},
		{"a long difference", []string{"check", "--diff", small, "FIFO"}, feedsFIFO(manyRules(20000))},
		{"explain into a full pipe", []string{"explain", "--policy", small, "10.0.0.0/24", "10.9.9.9:1"}, fillsStdout},
		{"explain --json into a full pipe", []string{"explain", "--json", "--policy", small, "10.0.0.0/24", "10.9.9.9:1"}, fillsStdoutOnce},
		{"completion into a full pipe", []string{"completion", "bash"}, fillsStdoutOnce},
		{"demo into a full pipe", []string{"demo", "--size", "1k"}, fillsStdout},
	}
	for _, tt := range tests {
		for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, unix.SignalName(sig)), func(t *testing.T) {
				t.Parallel()
				s := start(t, tt.args)
				tt.begun(t, s)
				s.end(t, sig)
			})
		}
	}
}

// signalled is a run of the tool that a signal ends.
type signalled struct {
	cmd   *exec.Cmd
	fifo  string
	stdin io.WriteCloser
	out   int // the descriptor of a pipe of one page, which nobody reads
	errs  string
}

func start(t *testing.T, args []string) *signalled {
	t.Helper()
	dir := t.TempDir()
	s := &signalled{fifo: filepath.Join(dir, "fifo"), errs: filepath.Join(dir, "stderr")}
	if err := unix.Mkfifo(s.fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	own := make([]string, len(args))
	for i, a := range args {
		own[i] = strings.ReplaceAll(a, "FIFO", s.fifo)
	}
	s.cmd = exec.Command("tstun", own...)
	s.cmd.Env = append(os.Environ(), "LC_ALL=C")
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	s.pipe(t)
	if s.cmd.Stderr, err = os.Create(s.errs); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// pipe makes stdout a pipe of one page. For the demo, which writes little more
// than a page, it fills half of the pipe.
func (s *signalled) pipe(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	s.out = int(r.Fd())
	if _, err := unix.FcntlInt(r.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	if s.cmd.Args[1] == "demo" {
		if _, err := w.Write(make([]byte, os.Getpagesize()/2)); err != nil {
			t.Fatal(err)
		}
	}
	s.cmd.Stdout = w
}

// end sends the signal and checks how the tool ends.
func (s *signalled) end(t *testing.T, sig os.Signal) {
	t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(inTime, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	err := s.cmd.Wait()
	said, _ := os.ReadFile(s.errs)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("%v, want exit code %d", err, exitFailed)
	}
	if took := time.Since(began); took > atOnce {
		t.Errorf("ended after %v", took)
	}
	if !strings.Contains(string(said), "interrupted") {
		t.Errorf("stderr: %s", said)
	}
}

// opensFIFO opens the pipe. That blocks until the tool has opened it, too.
func opensFIFO(t *testing.T, s *signalled) {
	f, err := os.OpenFile(s.fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

// feedsFIFO writes a whole policy to the pipe.
func feedsFIFO(policy string) func(*testing.T, *signalled) {
	return func(t *testing.T, s *signalled) {
		if err := os.WriteFile(s.fifo, []byte(policy), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// feedsStdin writes more to standard input than its pipe holds. That blocks until
// the tool has begun to read.
func feedsStdin(t *testing.T, s *signalled) {
	if _, err := io.WriteString(s.stdin, strings.Repeat(" ", 1<<20)); err != nil {
		t.Fatal(err)
	}
}

// fillsStdout waits until the pipe has no room for another line.
func fillsStdout(t *testing.T, s *signalled) { s.waitForOutput(t, os.Getpagesize()-ui.MaxColumns-2) }

// fillsStdoutOnce waits until the tool has begun its one large write.
func fillsStdoutOnce(t *testing.T, s *signalled) { s.waitForOutput(t, 1) }

// waitForOutput waits until the pipe holds n bytes.
func (s *signalled) waitForOutput(t *testing.T, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(inTime); ; {
		have, err := unix.IoctlGetInt(s.out, unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if have >= n {
			return
		}
		select {
		case <-end:
			s.cmd.Process.Kill()
			t.Fatalf("%d bytes of output, want %d", have, n)
		case <-tick.C:
		}
	}
}

// manyRules returns a policy of n rules, which takes long to explain and compare.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("{\"local\": \"10.9.9.9\", \"accept\": [\n")
	for i := range n {
		fmt.Fprintf(&b, "{\"proto\": \"tcp\", \"src\": \"10.0.%d.%d-10.3.%d.%d\", \"dst\": \"10.9.9.9:%d-%d\"},\n", i>>8&255, i&255, i&255, i>>8&255, 2+i, 30000+i)
	}
	b.WriteString("]}\n")
	return b.String()
}
