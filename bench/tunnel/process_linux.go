package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"tstun/internal/netns"
)

// process is an agent in a namespace. It ends when its stdin does, and so also
// when this process is killed.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	request *json.Encoder
	reply   *json.Decoder
}

// endWait is how long a process that should end may take.
const endWait = 2 * time.Second

// startAgent starts self, a command line that runs Agent. The agent is killed
// when ctx ends.
func startAgent(ctx context.Context, ns *netns.NS, self []string) (*process, error) {
	cmd := exec.CommandContext(ctx, self[0], self[1:]...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = endWait
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := ns.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd, err)
	}
	return &process{cmd, stdin, json.NewEncoder(stdin), json.NewDecoder(stdout)}, nil
}

// ask has the agent do something and waits until it is done.
func (p *process) ask(req request) (r reply, err error) {
	if err := p.request.Encode(req); err != nil {
		return r, fmt.Errorf("ask agent to %s: %w", req.Do, err)
	}
	if err := p.reply.Decode(&r); err != nil {
		return r, fmt.Errorf("agent's answer to %s: %w", req.Do, err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// end ends the agent and waits for it. A nil process has ended.
func (p *process) end() error {
	if p == nil {
		return nil
	}
	p.stdin.Close()
	timer := time.AfterFunc(endWait, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	return p.cmd.Wait()
}
