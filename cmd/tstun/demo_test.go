package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/netlogtype"
)

// runTool runs the tool in this process.
func runTool(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := ui.Environment{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = run(context.Background(), env, args)
	return code, out.String(), errs.String()
}

// demoDocument is what a reader of --json relies on.
type demoDocument struct {
	OK    bool
	Mode  string
	Nodes []struct {
		Name, PublicKey, Endpoint string
		Addresses                 []string
	}
	Steps []struct {
		Name string
		OK   bool
		Data json.RawMessage
	}
	Connections []struct {
		Node string
		netlogtype.Connection
		netlogtype.Counts
	}
	Drops []struct {
		Node, Direction string
		Reason          filter.Reason
		Packets         uint64
	}
	Totals []struct {
		Node string
		netlogtype.Counts
		DroppedIn, DroppedOut, Lost uint64
	}
}

func TestDemoJSON(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	code, stdout, stderr := runTool("demo", "--json", "--size", "3MB")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var d demoDocument
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range d.Steps {
		names = append(names, s.Name)
		if !s.OK {
			t.Errorf("step %s is not ok", s.Name)
		}
	}
	if got := strings.Join(names, " "); got != "handshake ping http refused udp tsmp transfer accounts" {
		t.Errorf("steps: %s", got)
	}
	if !d.OK || d.Mode != "userspace" || len(d.Nodes) != 2 || d.Nodes[0].PublicKey == d.Nodes[1].PublicKey {
		t.Errorf("%+v", d)
	}
	checkSums(t, d)
}

// checkSums adds the demoDocument up once more.
func checkSums(t *testing.T, d demoDocument) {
	t.Helper()
	for _, total := range d.Totals {
		var sum netlogtype.Counts
		for _, c := range d.Connections {
			if c.Node == total.Node {
				sum = sum.Add(c.Counts)
			}
		}
		dropped := map[string]uint64{}
		for _, r := range d.Drops {
			if r.Node == total.Node {
				dropped[r.Direction] += r.Packets
			}
		}
		if sum != total.Counts || dropped["in"] != total.DroppedIn || dropped["out"] != total.DroppedOut {
			t.Errorf("%s: %+v and drops %v, want %+v", total.Node, sum, dropped, total)
		}
	}
	if len(d.Totals) != 2 {
		t.Fatalf("%d totals", len(d.Totals))
	}
	a, b := d.Totals[0], d.Totals[1]
	if a.TxPackets != b.RxPackets+b.DroppedIn+a.Lost || b.TxPackets != a.RxPackets+a.DroppedIn+b.Lost {
		t.Errorf("the nodes disagree: %+v, %+v", a, b)
	}
}

// A demo in which a step cannot succeed fails with that step, a hint, and
// nothing left behind.
func TestDemoFails(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	d := &demo{options: demoOptions{size: 1000}}
	d.client, d.server = newNodes()
	d.server.rules = nil
	if err := d.newUserspaceHosts(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{d.client, d.server} {
		if err := n.startWireGuard(n.wrapper); err != nil {
			t.Fatal(err)
		}
	}
	defer d.stop()
	ctx, cancel := context.WithTimeout(context.Background(), promptly)
	defer cancel()
	steps := d.steps()
	if err := d.show(ctx, steps[0]); err != nil {
		t.Fatal(err)
	}
	short, cancelShort := context.WithTimeout(ctx, pingEvery/10)
	defer cancelShort()
	err := d.show(short, steps[1])
	if err == nil || !strings.HasPrefix(err.Error(), "ping: ") {
		t.Errorf("a ping that no rule allows: %v", err)
	}
	if d.result.Steps[1].OK {
		t.Error("the step is said to be ok")
	}
}

func TestDemoWithoutReader(t *testing.T) {
	var errs bytes.Buffer
	env := ui.Environment{Stdout: brokenPipe{}, Stderr: &errs, Getenv: func(string) string { return "" }}
	for _, args := range [][]string{{"demo", "--size", "1k"}, {"demo", "--size", "1k", "--json"}, {"version"}} {
		errs.Reset()
		if code := run(context.Background(), env, args); code != exitFailed || !strings.Contains(errs.String(), errBroken.Error()) {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}

// SIGINT ends the demo in the middle of a transfer, in good order.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signal to send to another process")
	}
	t.Run("userspace", func(t *testing.T) { interrupt(t, "demo", "--size", "1TiB") })
	t.Run("tun", func(t *testing.T) {
		if ok, err := condition("privileged"); !ok {
			t.Skipf("--tun needs root on Linux: %v", err)
		}
		interrupt(t, "demo", "--size", "1TiB", "--tun")
	})
}

// interrupt runs the tool until the transfer begins.
func interrupt(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("tstun", args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "neither host") {
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("%v", err)
	}
	if !strings.Contains(errs.String(), "error: transfer: interrupted\nhint: ") {
		t.Errorf("stderr: %s", errs.String())
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }
