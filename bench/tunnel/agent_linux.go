package tunnel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// agent is a process in one of the namespaces: an end of the tunnel, or a
// program that sends and receives through it.
type agent struct {
	node    *node   // after up
	service stopper // between receive, echo or source, and stop
}

// Agent carries out the requests of a comparison, until in ends. What it made
// goes with the process.
func Agent(in io.Reader, out io.Writer) error {
	var a agent
	defer a.end()
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var req request
		if err := requests.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("agent: %w", err)
		}
		r, err := a.do(req)
		if err != nil {
			r.Error = fmt.Sprintf("%s: %v", req.Do, err)
		}
		r.usage = a.usage()
		if err := replies.Encode(r); err != nil {
			return fmt.Errorf("agent: %w", err)
		}
	}
}

func (a *agent) do(req request) (r reply, err error) {
	switch req.Do {
	case doUsage:
		return reply{}, nil
	case doUp:
		if req.Node == nil {
			return reply{}, errors.New("no node is described")
		}
		a.node, err = up(req.Node)
		return reply{}, err
	case doInject:
		if a.node == nil {
			return reply{}, errors.New("there is no tunnel")
		}
		return a.node.inject(req)
	case doSend:
		return send(req)
	case doPing:
		return ping(req)
	case doReceive, doEcho:
		return reply{}, a.begin(serve(req))
	case doSource:
		return reply{}, a.begin(source(req))
	case doStop:
		if a.service == nil {
			return reply{}, errors.New("nothing was begun")
		}
		return a.service.stop()
	case doFetch:
		return fetch(req)
	case doFirst, doMemory:
		if a.node == nil || a.node.program == nil {
			return reply{}, errors.New("no program was started")
		}
		return map[string]func() (reply, error){doFirst: a.node.program.firstPacket, doMemory: a.node.program.memory}[req.Do]()
	}
	return reply{}, errors.ErrUnsupported
}

// stopper serves until it is stopped.
type stopper interface{ stop() (reply, error) }

// begin takes what was begun.
func (a *agent) begin(s stopper, err error) error {
	if err == nil {
		a.service = s
	}
	return err
}

// end ends the program that the agent started, if it did.
func (a *agent) end() {
	if a.node != nil && a.node.program != nil {
		a.node.program.end()
	}
}

// usage returns what the program that this process started has used, or else
// this process.
func (a *agent) usage() usage {
	if a.node != nil && a.node.program != nil {
		return a.node.program.usage()
	}
	return ownUsage()
}

// ownUsage returns what this process has used.
func ownUsage() usage {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return usage{}
	}
	return usage{time.Duration(u.Utime.Nano() + u.Stime.Nano()), int64(u.Nvcsw) + int64(u.Nivcsw)}
}
