package confine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/cmd/tstun/internal/confine"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// childEnv has the life of a child: this program, which confines itself.
const childEnv = "CONFINE_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := live(text); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// life is what a child does: it starts the tunnel of a file, confines itself and
// obeys what it reads from stdin.
type life struct {
	File, Policy, StateDir string
	Mode                   tunnel.Mode
	Dials                  bool
	Hooks                  wgquick.HookMode
}

// threads are held by goroutines of a child, which wait.
const threads = 6

func live(text string) error {
	var l life
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	c, _, err := wgquick.ParseFile(l.File, wgquick.Options{Hooks: l.Hooks})
	if err != nil {
		return err
	}
	c.Policy, c.StateDir, c.Mode = l.Policy, l.StateDir, l.Mode
	for range threads {
		go func() { runtime.LockOSThread(); select {} }()
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // as tstun up does
		return err
	}
	started := *c
	started.Hooks = tunnel.Hooks{} // that they are there is enough
	t, err := tunnel.Start(context.Background(), started)
	if err != nil {
		return err
	}
	r, err := confine.Apply(confine.Config{Tunnel: c, Mode: t.Status().Mode, File: l.File, Dials: l.Dials})
	if err != nil {
		return err
	}
	fmt.Println(r)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		if err := obey(t, l.File, words); err != nil {
			fmt.Println("failed:", err)
		} else {
			fmt.Println("done")
		}
	}
	return nil
}

func obey(t *tunnel.Tunnel, file string, words []string) error {
	switch words[0] {
	case "close":
		return t.Close()
	case "reload":
		if _, _, err := wgquick.ParseFile(file, wgquick.Options{}); err != nil {
			return err
		}
		return t.ReloadPolicy()
	case "read":
		_, err := os.ReadFile(words[1])
		return err
	case "write":
		return os.WriteFile(words[1], []byte("x"), 0o600)
	case "run":
		return exec.Command(words[1], words[2:]...).Run()
	case "listen":
		return closeNow(listenTCP(words[1]))
	case "dial":
		return closeNow(dialTCP(words[1]))
	case "lookup":
		_, err := net.LookupPort("tcp", words[1])
		return err
	case "kill":
		pid, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return syscall.Kill(pid, 0)
	}
	return fmt.Errorf("what is %q?", words)
}

func closeNow(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// listenTCP and dialTCP do without Multipath TCP, which landlock does not know.
func listenTCP(address string) (io.Closer, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), "tcp", address)
}

func dialTCP(address string) (io.Closer, error) { return new(net.Dialer).Dial("tcp", address) }
