package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// screen is a terminal of tmux's.
type screen struct {
	*testing.T
	socket string
}

// newScreen runs a shell's command on a terminal of 80 by 24, which ends with the test.
func newScreen(t *testing.T, dir, command string) screen {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip(err)
	}
	s := screen{t, filepath.Join(dir, "tmux")}
	t.Cleanup(func() { _, _ = s.tmux("kill-server") })
	if out, err := s.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	return s
}

func (s screen) tmux(args ...string) (string, error) {
	cmd := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color", "SHELL=/bin/sh", "NO_COLOR=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// press presses keys, as tmux names them.
func (s screen) press(keys ...string) {
	s.Helper()
	if out, err := s.tmux(append([]string{"send-keys"}, keys...)...); err != nil {
		s.Fatalf("tmux: %v: %s", err, out)
	}
}

// wants waits until the terminal shows all words, wherever its lines end: that depends on
// how long the name of the test's directory is.
func (s screen) wants(words ...string) {
	s.Helper()
	for ctx := within(s.T); ; time.Sleep(20 * time.Millisecond) {
		text, err := s.tmux("capture-pane", "-p")
		missing := ""
		for _, w := range words {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), w) {
				missing = w
			}
		}
		if err == nil && missing == "" {
			return
		}
		if ctx.Err() != nil {
			s.Fatalf("the terminal does not show %q: %v\n%s", missing, err, text)
		}
	}
}

// top on a terminal shows a forgotten port, explains it, takes a filter, and leaves the
// terminal as it was.
func TestTopOnTerminal(t *testing.T) {
	dir, _, laptop := forgotten(t)
	send(t, laptop, 8080)
	s := newScreen(t, dir, "tstun top --state-dir "+dir+"; echo ended with $?; read x")
	s.wants("web, userspace, 1 of 1 peer up, policy.hujson, 1 rule", "udp laptop > web:8080", "no-rule: port", "1 refused")
	s.press("d", "Enter")
	s.wants("drops only", "udp from laptop (10.9.0.2) to web:8080 (10.9.0.1)", "comes nearest: port 8080 is not in", "it lacks port")
	s.press("Enter", "/", "t", "c", "p")
	s.wants("/ tcp_", "nothing")
	s.press(" ", "x")
	s.wants(`filter: at byte 4: "x"`)
	s.press("Escape")
	s.wants("/ all", "udp laptop > web:8080")
	s.press("q")
	s.wants("ended with 0")
}

// Where there is no terminal, top says what needs none.
func TestTopWithoutTerminal(t *testing.T) {
	dir, _, _ := forgotten(t)
	if _, said := tstun(t, 1, "top", "--state-dir", dir); !strings.Contains(said, "hint: tstun flows --watch needs none") {
		t.Errorf("%s", said)
	}
}
