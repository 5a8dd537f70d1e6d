package up

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"tstun/cmd/tstun/internal/ui"
)

// log is where up says what happens: on stderr, a line each, as slog writes
// them, or in plain words where a person reads along.
type log struct{ *slog.Logger }

func newLog(env ui.Environment, o Options) log {
	options := &slog.HandlerOptions{Level: o.LogLevel}
	if env.Journal { // which has its own times
		options.ReplaceAttr = withoutTime
	}
	switch {
	case o.LogJSON:
		return log{slog.New(slog.NewJSONHandler(env.Stderr, options))}
	case env.StderrTerminal:
		return log{slog.New(&plain{level: o.LogLevel, w: env.Stderr, mu: new(sync.Mutex)})}
	}
	return log{slog.New(slog.NewTextHandler(env.Stderr, options))}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (l log) warn(text string) { l.Logger.Warn(text) }

// isPlain reports whether a person reads along.
func (l log) isPlain() bool {
	_, ok := l.Handler().(*plain)
	return ok
}

// levels are those of lines by how they begin. What begins otherwise is told
// people.
var levels = []struct {
	prefix string
	level  slog.Level
	cut    bool // the level says it
}{
	{"warning: ", slog.LevelWarn, true},
	{"policy refused", slog.LevelError, false},
	{"tunnel: reload: ", slog.LevelError, false},
	{"hostnet: ", slog.LevelDebug, false}, // each change to the host's network
	{"Failed to ", slog.LevelWarn, false}, // wireguard-go
}

// Logf logs a line of a part that has no levels. It is a logger.Logf.
func (l log) Logf(format string, args ...any) {
	text, level := fmt.Sprintf(format, args...), slog.LevelInfo
	for _, v := range levels {
		if rest, ok := strings.CutPrefix(text, v.prefix); ok {
			level = v.level
			if v.cut {
				text = rest
			}
			break
		}
	}
	l.Log(context.Background(), level, text)
}

// plain is a slog.Handler for a person at a terminal: the time of day and the
// message, which says all that the attributes say.
type plain struct {
	level slog.Level
	mu    *sync.Mutex // guards w
	w     io.Writer
}

// Enabled implements slog.Handler.
func (h *plain) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle implements slog.Handler.
func (h *plain) Handle(_ context.Context, r slog.Record) error {
	word := ""
	switch {
	case r.Level >= slog.LevelError:
		word = "error: "
	case r.Level >= slog.LevelWarn:
		word = "warning: "
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintf(h.w, "%s %s%s\n", r.Time.Format("15:04:05"), word, r.Message)
	return err
}

// WithAttrs implements slog.Handler.
func (h *plain) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h *plain) WithGroup(string) slog.Handler { return h }
