package up_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tstun/key"
)

// node is a program that runs, such as "tstun up".
type node struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *transcript
	done chan struct{} // closed when the process has ended
	err  error         // of the process, once it has ended
}

// shownLog is how much of a program's log a test that fails shows, in bytes.
const shownLog = 4000

// begin starts a program, which ends with the test at the latest.
func begin(t *testing.T, cmd *exec.Cmd, start func(*exec.Cmd) error) *node {
	t.Helper()
	n := &node{t: t, cmd: cmd, log: newTranscript(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = n.log, n.log
	if err := start(cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.done)
		n.err = cmd.Wait()
	}()
	t.Cleanup(n.end)
	return n
}

// end kills the program if it still runs, and looks through what it printed.
func (n *node) end() {
	n.kill()
	log := n.log.String()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(log, bad) {
			n.t.Errorf("the program says %q", bad)
		}
	}
	if n.t.Failed() {
		n.t.Logf("%v: %v\n%s", n.cmd.Args, n.cmd.ProcessState, log[max(0, len(log)-shownLog):])
	}
}

// await waits until the program prints a text, from the offset in its log on.
func (n *node) await(from int, text string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() {
		select {
		case <-n.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := n.log.await(ctx, from, text); err != nil {
		n.t.Fatal(err)
	}
}

// kill kills the program, which undoes nothing then.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	<-n.done
}

// stop ends the program by a signal, as Ctrl-C does, and wants it to succeed.
func (n *node) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		n.t.Fatal(err)
	}
	n.wait()
	if n.err != nil {
		n.t.Errorf("at the end: %v", n.err)
	}
}

// wait waits for the program's end. After an outage, TCP may wait for as long as
// that was before it tries again.
func (n *node) wait() {
	n.t.Helper()
	select {
	case <-n.done:
	case <-time.After(patience + 2**outage):
		n.t.Errorf("%v does not end", n.cmd.Args)
		n.kill()
	}
}

// fails wants the program to fail, and to say why.
func (n *node) fails(why string) {
	n.t.Helper()
	n.wait()
	if log := n.log.String(); n.err == nil || !strings.Contains(log, why) {
		n.t.Errorf("%v: want %q in:\n%s", n.err, why, log)
	}
}

// config is a file of wg-quick's.
type config struct {
	key   key.Private
	lines string // of the interface
	peers []peer
}

type peer struct {
	key     key.Public
	allowed string
	lines   string
}

// String returns the file.
func (c config) String() string {
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\n%s\n", c.key.Reveal(), c.lines)
	for _, p := range c.peers {
		text += fmt.Sprintf("[Peer]\nPublicKey = %s\nAllowedIPs = %s\n%s\n", p.key, p.allowed, p.lines)
	}
	return text
}

// configs are those of two hosts, 10.9.0.1 and .2, fd09::1 and ::2. Only the
// first knows where the other is.
func configs(endpoint string) (a, b config) {
	a, b = config{key: key.NewPrivate()}, config{key: key.NewPrivate()}
	a.lines, b.lines = "Address = 10.9.0.1/24, fd09::1/64", "Address = 10.9.0.2/24, fd09::2/64\nListenPort = 51820"
	a.peers = []peer{{b.key.Public(), "10.9.0.2/32, fd09::2/128", "Endpoint = " + endpoint}}
	b.peers = []peer{{a.key.Public(), "10.9.0.1/32, fd09::1/128", ""}}
	return a, b
}

// writePrivate writes a file that its owner alone may read.
func writePrivate(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
