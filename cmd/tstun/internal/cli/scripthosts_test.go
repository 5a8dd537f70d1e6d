package cli_test

import (
	"bufio"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tstun/internal/netns"
)

// host is a host of a script: a network namespace, and a resolv.conf of its own or "".
type host struct {
	ns     *netns.NS
	resolv string
}

type hostsKey struct{}

// hostCommands are commands of scripts about hosts and the cables between them.
var hostCommands = map[string]func(*testscript.TestScript, bool, []string){
	"cable": cable, "resolv": resolv, "in": inHost, "up": upInHost, "first": firstWrong,
}

// cable joins two hosts, which it makes if they are new. The interfaces have the name of
// the host at the other end.
func cable(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: cable HOST ADDRESS HOST ADDRESS")
	}
	all := ts.Value(hostsKey{}).(map[string]*host)
	for _, name := range []string{args[0], args[2]} {
		if all[name] == nil {
			ns, err := netns.Create()
			ts.Check(err)
			ts.Defer(func() { ts.Check(ns.Close()) })
			all[name] = &host{ns: ns}
		}
	}
	ts.Check(all[args[0]].ns.Connect(args[2], all[args[2]].ns, args[0]))
	ts.Check(all[args[0]].ns.AddAddr(args[2], netip.MustParsePrefix(args[1])))
	ts.Check(all[args[2]].ns.AddAddr(args[0], netip.MustParsePrefix(args[3])))
}

func hostOf(ts *testscript.TestScript, name string) *host {
	h := ts.Value(hostsKey{}).(map[string]*host)[name]
	if h == nil {
		ts.Fatalf("no host %s", name)
	}
	return h
}

// resolv gives what runs in a host from now on a resolv.conf.
func resolv(ts *testscript.TestScript, _ bool, args []string) {
	hostOf(ts, args[0]).resolv = ts.MkAbs(args[1])
}

// command returns what runs a program in the host's file system.
func (h *host) command(args []string) []string {
	if h.resolv == "" {
		return args
	}
	return append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, h.resolv}, args...)
}

// inHost runs a program in a host, and wants an exit code of it.
func inHost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: in HOST CODE PROGRAM ARGS...")
	}
	h, code := hostOf(ts, args[0]), 0
	command := h.command(args[2:])
	err := h.ns.Do(func() error { return ts.Exec(command[0], command[1:]...) })
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if want, err := strconv.Atoi(args[1]); err != nil || code != want {
		ts.Fatalf("exit code %d, want %s", code, args[1])
	}
}

// upInHost runs tstun up in a host, in kernel mode, until the script ends or tstun down
// ends it. It waits until the tunnel runs.
func upInHost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: up HOST FILE ARGS...")
	}
	h := hostOf(ts, args[0])
	command := h.command(append([]string{"tstun", "up", ts.MkAbs(args[1]), "--mode", "kernel", "--state-dir", ts.Getenv("SHORT")}, args[2:]...))
	path, err := exec.LookPath(command[0])
	ts.Check(err)
	cmd := exec.Command(path, command[1:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "RUNTIME_DIRECTORY="+ts.Getenv("RUNTIME_DIRECTORY"), "GORACE=atexit_sleep_ms=0")
	errs, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(h.ns.Start(cmd))
	lines, runs, ended := new(strings.Builder), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(errs); s.Scan(); {
			lines.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), "the tunnel runs") {
				close(runs)
			}
		}
		_ = cmd.Wait()
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt) // or tstun down has ended it
		<-ended
		ts.Logf("%s in %s:\n%s", args[1], args[0], lines)
	})
	select {
	case <-runs:
	case <-ended:
		ts.Fatalf("%s in %s has ended", args[1], args[0])
	case <-time.After(patience):
		ts.Fatalf("%s in %s is not up", args[1], args[0])
	}
}

// firstWrong wants STEP: CODE of what tstun explain says is wrong first.
func firstWrong(ts *testscript.TestScript, _ bool, args []string) {
	_, rest, _ := strings.Cut("\n"+ts.ReadFile("stdout"), "\nwrong ")
	if got, _, _ := strings.Cut(rest, "\n"); got != strings.Join(args, " ") {
		ts.Fatalf("wrong first: %q, want %q", got, strings.Join(args, " "))
	}
}
