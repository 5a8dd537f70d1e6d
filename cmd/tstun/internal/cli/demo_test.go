package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tstun/cmd/tstun/internal/cli"
	"tstun/cmd/tstun/internal/demo/demotest"
	"tstun/cmd/tstun/internal/ui"
)

func TestDemoJSON(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	code, stdout, stderr := runTool("demo", "--json", "--size", "3MB")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	d, err := demotest.Parse([]byte(stdout))
	if err != nil {
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
	if err := d.CheckTotals(); err != nil {
		t.Error(err)
	}
}

func TestDemoWithoutReader(t *testing.T) {
	var errs bytes.Buffer
	env := ui.Environment{Stdout: brokenPipe{}, Stderr: &errs, Getenv: func(string) string { return "" }}
	for _, args := range [][]string{{"demo", "--size", "1k"}, {"demo", "--size", "1k", "--json"}, {"version"}} {
		errs.Reset()
		if code := cli.Run(context.Background(), env, args); code != exitFailed || !strings.Contains(errs.String(), errBroken.Error()) {
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

// interrupt runs the tool and sends it SIGINT when the transfer begins.
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
