package control

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"tstun/tunnel"
)

// lines is an answer of JSON lines, each of which goes out at once.
type lines struct {
	w http.ResponseWriter
	c *http.ResponseController
}

const linesType = "application/jsonl"

// newLines begins an answer.
func newLines(w http.ResponseWriter) lines {
	w.Header().Set("Content-Type", linesType)
	l := lines{w, http.NewResponseController(w)}
	l.flush() // the header, for who waits for the first line
	return l
}

func (l lines) flush() error {
	_ = l.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	return l.c.Flush()
}

func (l lines) write(v any) error {
	_ = l.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := json.NewEncoder(l.w).Encode(v); err != nil {
		return err
	}
	return l.flush()
}

// quiet is after how long without a further event those that were kept are told.
const quiet = 100 * time.Millisecond

// events tells the events that were kept, and with follow those that come.
func (s *Server) events(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out, events := newLines(w), t.Tunnel.Events(ctx)
	for {
		e, more := nextEvent(events, r.URL.Query().Has("follow"))
		if !more || out.write(e) != nil {
			return nil
		}
	}
}

// nextEvent waits for an event, and not for long unless follow.
func nextEvent(events <-chan tunnel.Event, follow bool) (e tunnel.Event, more bool) {
	var end <-chan time.Time
	if !follow {
		end = time.After(quiet)
	}
	select {
	case e, more = <-events:
	case <-end:
	}
	return e, more
}

// end asks the tunnel to end, and tells when it has.
func (s *Server) end(w http.ResponseWriter, r *http.Request, _ *Running) *Error {
	s.askDown.Do(func() { close(s.down) })
	out := newLines(w)
	if out.write(Ending{State: StateEnding, PID: os.Getpid()}) != nil {
		return nil
	}
	select {
	case <-s.ended:
	case <-r.Context().Done():
		select {
		case <-s.ended: // both came
		default:
			return nil
		}
	}
	_ = out.write(Ending{State: StateEnded, PID: os.Getpid(), Error: s.problem})
	return nil
}
