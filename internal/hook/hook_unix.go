//go:build unix

package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// script reads the command from descriptor 3, which the command does not
// inherit, and runs it.
const script = `IFS= read -r -d '' hook <&3 || :; exec 3<&-; INTERFACE=$1; set -e -o pipefail; shopt -s extglob; eval "$hook"`

// drainTime is how long output is waited for once bash has ended: something in
// the background may hold it open.
const drainTime = 500 * time.Millisecond

func run(ctx context.Context, command, ifname string, out *liner) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script, "hook", ifname)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.ExtraFiles = []*os.File{r} // descriptor 3
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = drainTime
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Start()
	_ = r.Close()
	if err != nil {
		_ = w.Close()
		return fmt.Errorf("start bash: %w", err)
	}
	_, _ = io.WriteString(w, command) // fails if bash ends before it has read it
	_ = w.Close()
	err = cmd.Wait()
	out.flush()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay):
		return nil
	}
	return err
}
