package hostnet_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"tstun/internal/rig"
	"tstun/tunnel/internal/hostnet"
)

// childEnv holds the life of a process that this test program is to lead
// instead of running tests.
const childEnv = "HOSTNET_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var l life
		err := json.Unmarshal([]byte(text), &l)
		if err == nil {
			err = l.lead()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // of children
	goleak.VerifyTestMain(m)
}

// life is what a child process does: it takes charge of Name, makes each of
// Configs, and closes. Before change number KillAt it is killed.
type life struct {
	Name, Dir string
	TUN       bool // it makes the interface, which goes with it
	Configs   []hostnet.Config
	KillAt    int
}

func (l *life) lead() error {
	changes := 0
	logf := func(format string, args ...any) {
		if changes++; changes == l.KillAt {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	if l.TUN {
		tun, err := rig.OpenTUN(l.Name)
		if err != nil {
			return err
		}
		defer tun.Close()
	}
	h, err := hostnet.New(l.Name, l.Dir, logf)
	if err != nil {
		return err
	}
	l.say("new")
	for _, c := range l.Configs {
		if _, err := h.Mark(c); err != nil {
			return err
		}
		warnings, err := h.Set(c)
		if err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Printf("warning %s: %s\n", w.Kind, w.Text)
		}
		l.say("set")
	}
	err = h.Close()
	l.say("closed")
	return err
}

// say prints what happened, and what programs now read of DNS.
func (l *life) say(what string) {
	text, _ := os.ReadFile("/etc/resolv.conf")
	var servers []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && !strings.HasPrefix(line, "#") {
			servers = append(servers, strings.Join(f[1:], " "))
		}
	}
	fmt.Printf("%s: %s\n", what, strings.Join(servers, ", "))
}
