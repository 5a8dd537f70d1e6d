package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tstun/tunnel"
)

// Audit returns what the second policy would do otherwise than the one in force, of flows
// until now and since a time, if that is set. A limit of 0 is the most that there is.
func (c *Client) Audit(ctx context.Context, since time.Time, limit int) (a tunnel.Audit, err error) {
	v := make(url.Values)
	if !since.IsZero() {
		v.Set("since", since.Format(time.RFC3339Nano))
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	return a, c.get(ctx, "/v1/audit?"+v.Encode(), &a)
}

func (s *Server) audit(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	var since time.Time
	limit := 0
	var err error
	if text := r.URL.Query().Get("since"); text != "" {
		since, err = ParseSince(text, time.Now())
	}
	if text := r.URL.Query().Get("limit"); text != "" && err == nil {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			err = fmt.Errorf("limit=%s: want a number from 1 on", text)
		}
	}
	if err != nil {
		return &Error{Message: err.Error(), Code: http.StatusBadRequest}
	}
	if !s.takeSnapshot(r.Context()) {
		return nil
	}
	defer s.giveSnapshot()
	a, err := t.Tunnel.Audit(since, limit)
	switch {
	case errors.Is(err, tunnel.ErrNoAudit):
		return &Error{Message: err.Error(), Hint: "tstun up --audit FILE tries one", Code: http.StatusConflict}
	case err != nil:
		return flowsError(err)
	}
	answer(w, http.StatusOK, a)
	return nil
}
