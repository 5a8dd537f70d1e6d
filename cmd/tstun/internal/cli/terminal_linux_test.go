package cli_test

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo-terminal (pty(7)).
func openTerminal(t testing.TB) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	return keyboard, screen
}

// On a terminal there are a bar that is drawn over, and colours unless they
// are not wanted.
func TestDemoOnTerminal(t *testing.T) {
	tests := []struct {
		name, env   string
		want, never []string
	}{
		{"colour", "", []string{"\x1b[32m✓\x1b[0m", "█", "\r\x1b[K"}, []string{" 25 %  1 MiB of 4 MiB  \n"}},
		{"NO_COLOR", "NO_COLOR=1", []string{"✓ ", "█", "\r\x1b[K"}, []string{"\x1b[32m", "\x1b[0m"}},
		{"dumb", "TERM=dumb", []string{"✓ "}, []string{"\x1b", "█"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keyboard, screen := openTerminal(t)
			cmd := exec.Command("tstun", "demo", "--size", "4MiB")
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm", "NO_COLOR=", tt.env)
			cmd.Stdout, cmd.Stderr = screen, screen
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			screen.Close()
			shown, _ := io.ReadAll(keyboard) // ends with EIO when the program does
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, shown)
			}
			for _, s := range tt.want {
				if !strings.Contains(string(shown), s) {
					t.Errorf("no %q in %q", s, shown)
				}
			}
			for _, s := range tt.never {
				if strings.Contains(string(shown), s) {
					t.Errorf("there is %q in %q", s, shown)
				}
			}
		})
	}
}
