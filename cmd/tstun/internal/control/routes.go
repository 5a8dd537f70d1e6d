package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
	"tstun/tundev"
)

// route is an endpoint.
type route struct {
	method, path string
	lasts        bool // it takes one of the places for streams
	serve        func(s *Server, w http.ResponseWriter, r *http.Request, t *Running) *Error
}

// routes are all endpoints. docs/api.md tells of each.
func routes() []route {
	return []route{
		{"GET", "/v1/status", false, (*Server).status},
		{"GET", "/v1/events", true, (*Server).events},
		{"GET", "/v1/flows", true, (*Server).flows},
		{"GET", "/v1/traffic", false, (*Server).traffic},
		{"GET", "/v1/diagnose", true, (*Server).diagnose},
		{"GET", "/v1/explain", false, (*Server).explain},
		{"GET", "/v1/checks", true, (*Server).checks},
		{"POST", "/v1/trace", true, (*Server).trace},
		{"GET", "/v1/audit", true, (*Server).audit},
		{"GET", "/v1/capture", true, (*Server).capture},
		{"GET", "/v1/policy", false, (*Server).policy},
		{"GET", "/v1/policy/history", false, (*Server).policyHistory},
		{"GET", "/v1/policy/seen", true, (*Server).seen},
		{"POST", "/v1/policy/plan", true, (*Server).planPolicy},
		{"POST", "/v1/policy/try", false, (*Server).tryPolicy},
		{"POST", "/v1/policy/confirm", false, (*Server).confirmPolicy},
		{"POST", "/v1/policy/rollback", false, (*Server).rollBackPolicy},
		{"POST", "/v1/reload", false, (*Server).reload},
		{"POST", "/v1/connect", true, (*Server).connect},
		{"POST", "/v1/down", true, (*Server).end},
		{"GET", "/debug/pprof/", true, profile(pprof.Index)},
		{"GET", "/debug/pprof/cmdline", false, profile(pprof.Cmdline)},
		{"GET", "/debug/pprof/profile", true, profile(pprof.Profile)},
		{"GET", "/debug/pprof/symbol", false, profile(pprof.Symbol)},
		{"GET", "/debug/pprof/trace", true, profile(pprof.Trace)},
	}
}

// handler serves all routes, for who may ask, and answers the rest with an Error.
func (s *Server) handler() http.Handler {
	byPath := make(map[string]route)
	for _, r := range routes() {
		byPath[r.path] = r
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, known := byPath[r.URL.Path]
		if !known && len(r.URL.Path) > len(profiles) && r.URL.Path[:len(profiles)] == profiles {
			to, known = byPath[profiles]
		}
		var err *Error
		switch {
		case refusal(r) != nil:
			err = refusal(r)
		case !known:
			err = &Error{Message: "no such endpoint: " + r.URL.Path, Hint: "docs/api.md lists them", Code: http.StatusNotFound}
		case r.Method != to.method:
			w.Header().Set("Allow", to.method)
			err = &Error{Message: fmt.Sprintf("%s takes %s, not %s", to.path, to.method, r.Method), Code: http.StatusMethodNotAllowed}
		case bodies[to.path] == 0 && r.ContentLength != 0:
			err = &Error{Message: "no endpoint takes a body but /v1/policy/plan and /v1/policy/try", Hint: "put parameters into the query", Code: http.StatusRequestEntityTooLarge}
		default:
			err = s.run(to, w, r)
		}
		if err != nil {
			answer(w, err.Code, err)
		}
	})
}

// run serves a route if there is room for it.
func (s *Server) run(to route, w http.ResponseWriter, r *http.Request) *Error {
	if !s.begin() {
		return &Error{Message: "the tunnel has ended", Code: http.StatusServiceUnavailable}
	}
	defer s.work.Done()
	if to.lasts {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			return &Error{Message: fmt.Sprintf("%d requests that last are served, which is the limit", cap(s.streams)), Hint: "end one of them, or try again later", Code: http.StatusServiceUnavailable}
		}
	}
	return to.serve(s, w, r, s.running.Load())
}

const jsonType = "application/json"

// starting is the answer while there is no tunnel yet.
func (s *Server) starting() *Error {
	return &Error{Message: fmt.Sprintf("tunnel %s is starting", s.name), Hint: "ask again in a moment", Code: http.StatusServiceUnavailable}
}

// answer writes one JSON document.
func answer(w http.ResponseWriter, code int, body any) {
	now := time.Now()
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(now.Add(writeTimeout))
	_ = c.SetReadDeadline(now.Add(readTimeout)) // of a body that nobody reads
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone misses nothing
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	answer(w, http.StatusOK, Status{t.Tunnel.Status(), os.Getpid()})
	return nil
}

func (s *Server) diagnose(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	answer(w, http.StatusOK, Diagnosis{append([]tundev.Finding{}, t.Tunnel.Diagnose(r.Context())...)})
	return nil
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	if err := t.Reload(r.Context()); err != nil {
		return &Error{Message: err.Error(), Hint: "what was in force stays in force", Code: http.StatusUnprocessableEntity}
	}
	return s.status(w, r, t)
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	d, f, err := parseFlow(r)
	if err != nil {
		return &Error{Message: err.Error(), Hint: "as in /v1/explain?src=10.0.0.2&dst=10.0.0.1:80&proto=tcp&direction=in", Code: http.StatusBadRequest}
	}
	answer(w, http.StatusOK, explained(d, f, t.Tunnel.ExplainNew(d, f)))
	return nil
}

// parseFlow reads src, dst, proto and direction of the query.
func parseFlow(r *http.Request) (d filter.Direction, f policy.Flow, err error) {
	q := r.URL.Query()
	if d, _, err = parseDirection(q); err != nil {
		return d, f, err
	}
	if f.Src, err = netip.ParseAddr(q.Get("src")); err != nil {
		return d, f, fmt.Errorf("src: %w", err)
	}
	f.Proto = ipproto.TCP
	if name := q.Get("proto"); name != "" {
		if err := f.Proto.UnmarshalText([]byte(name)); err != nil {
			return d, f, fmt.Errorf("proto: %w", err)
		}
	}
	if f.Proto.HasPorts() {
		f.Dst, err = netip.ParseAddrPort(q.Get("dst"))
	} else {
		var a netip.Addr
		a, err = netip.ParseAddr(q.Get("dst"))
		f.Dst = netip.AddrPortFrom(a, 0)
	}
	if err != nil {
		return d, f, fmt.Errorf("dst: %w", err)
	}
	return d, f, nil
}

// parseDirection reads direction of the query, which is Inbound if it is not given.
func parseDirection(q url.Values) (d filter.Direction, given bool, err error) {
	text := q.Get("direction")
	if text == "" {
		return filter.Inbound, false, nil
	}
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return d, true, fmt.Errorf("direction: %w", err)
	}
	return d, true, nil
}

const profiles = "/debug/pprof/"

// profile serves a handler of net/http/pprof, which needs no tunnel.
func profile(h http.HandlerFunc) func(*Server, http.ResponseWriter, *http.Request, *Running) *Error {
	return func(_ *Server, w http.ResponseWriter, r *http.Request, _ *Running) *Error {
		const most, byDefault = 60, 30 // seconds
		seconds := byDefault
		if text := r.URL.Query().Get("seconds"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > most {
				return &Error{Message: fmt.Sprintf("seconds=%s: want 1 to %d", text, most), Code: http.StatusBadRequest}
			}
			seconds = n
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Duration(seconds)*time.Second + writeTimeout))
		h(w, r)
		return nil
	}
}
