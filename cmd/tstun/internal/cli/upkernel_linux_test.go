package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/internal/netns"
)

// In kernel mode the host's network is as before once a signal has ended it, and
// so it is when somebody deletes the interface, which is an error.
func TestUpUndoesKernelMode(t *testing.T) {
	ns := netns.New(t)
	f := newUpFiles(t, "tstunup0", 0)
	before := hostNetwork(t, ns)
	tests := []struct {
		name string
		end  func(*testing.T, *upRun)
	}{
		{"SIGTERM", func(t *testing.T, r *upRun) {
			r.signal(t, unix.SIGTERM)
			r.exit(t, exitOK)
		}},
		{"the interface is deleted", func(t *testing.T, r *upRun) {
			execIn(t, ns, "ip", "link", "del", "tstunup0")
			r.exit(t, exitFailed)
			r.await2(t, "error: the interface tstunup0 is gone: it was deleted, or its device closed, by another program\n")
		}},
		{"killed, then started again", func(t *testing.T, r *upRun) {
			r.signal(t, os.Kill)
			<-r.ended
			again := startUp(t, ns, nil, f.path("tstunup0.conf"), "--state-dir", f.path("state"))
			again.await(t, 0, "the tunnel runs")
			again.ends(t)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := startUp(t, ns, nil, f.path("tstunup0.conf"), "--state-dir", f.path("state"), "--expose", "tcp:80=127.0.0.1:8080")
			r.await(t, 0, "tunnel tstunup0 is up in kernel mode, since ")
			// A port of the tunnel's is open at its address alone.
			if at, _ := r.await(t, 0, "expose to 127.0.0.1:8080 listens"); at.Address != "10.77.0.1:80" {
				t.Errorf("exposed at %s", at.Address)
			}
			if hostNetwork(t, ns) == before {
				t.Error("it did nothing")
			}
			tt.end(t, r)
			if after := hostNetwork(t, ns); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if left, err := filepath.Glob(f.path("state/*")); err != nil || len(left) > 0 {
				t.Errorf("journals %v, %v", left, err)
			}
		})
	}
}

// A second signal ends it at once, says what is left and how to undo it. Here
// the host's resolvconf hangs.
func TestUpSecondSignal(t *testing.T) {
	ns := netns.New(t)
	f := newUpFiles(t, "tstunup2", 0)
	f.write(t, "tstunup2.conf", strings.Replace(contents(t, f.path("tstunup2.conf")), "[Peer]", "DNS = 10.77.0.2\n[Peer]", 1))
	pid := slowResolvconf(t, f)
	path := func(c *exec.Cmd) { c.Env = append(c.Env, "PATH="+f.dir) }
	r := startUp(t, ns, path, f.path("tstunup2.conf"), "--state-dir", f.path("state"))
	r.await(t, 0, "the tunnel runs")
	r.signal(t, unix.SIGTERM)
	awaitFile(t, pid)
	time.Sleep(time.Second) // more than what is taken for the same signal
	r.signal(t, unix.SIGTERM)
	r.exit(t, exitFailed)
	r.await2(t, "error: ended before all was undone: addresses, routes, rules or DNS of tstunup2 may be left\n", "hint: sudo tstun down tstunup2 undoes it")
}

// slowResolvconf puts a resolvconf into the directory that takes its time to
// undo. It returns the file that says that it has begun. It ends with the test.
func slowResolvconf(t *testing.T, f *upFiles) (begun string) {
	t.Helper()
	begun = f.path("begun")
	script := fmt.Sprintf("#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n[ \"$1\" = -d ] || exit 0\necho $$ >%s.new && mv %s.new %s\nexec sleep 60\n", begun, begun, begun)
	if err := os.WriteFile(f.path("resolvconf"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var pid int
		if _, err := fmt.Sscan(contents(t, begun), &pid); err != nil {
			t.Error(err)
		} else if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Error(err)
		}
	})
	return begun
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	for end := deadline(); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	t.Fatalf("no %s", path)
}

// hostNetwork returns all that a tunnel may leave in a host.
func hostNetwork(t *testing.T, ns *netns.NS) (text string) {
	t.Helper()
	for _, command := range []string{"ip -o link", "ip -o address", "ip -4 rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all", "nft list ruleset"} {
		args := strings.Fields(command)
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Skip(err)
		}
		text += command + ":\n" + execIn(t, ns, args...)
	}
	return text
}

func execIn(t *testing.T, ns *netns.NS, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	out, err := ns.Exec(ctx, args[0], args[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// At a terminal a person reads plain lines. When the terminal is gone, so is the
// tunnel: no reload is meant.
func TestUpAtTerminal(t *testing.T) {
	keyboard, screen := openTerminal(t)
	f := newUpFiles(t, "wg0", 0)
	cmd := exec.Command("tstun", "up", f.path("wg0.conf"), "--mode", "userspace", "--socks5", "0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	shown := ""
	buf := make([]byte, 4096)
	for !strings.Contains(shown, "tstun status wg0") {
		n, err := keyboard.Read(buf)
		if err != nil {
			t.Fatalf("%v\n%s", err, shown)
		}
		shown += string(buf[:n])
	}
	for _, want := range []string{"tunnel wg0 is up in userspace mode, since it was asked for", "  address     10.77.0.1/24\r\n", "  peer        office, which has to begin: 10.77.0.2/32\r\n", "Ctrl-C ends it"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in:\n%s", want, shown)
		}
	}
	keyboard.Close() // SIGHUP
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(inTime):
		t.Error("it outlasts its terminal")
	}
}
