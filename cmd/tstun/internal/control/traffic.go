package control

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"tstun/tunnel"
)

// Traffic returns what passed and was dropped since a time, or since the tunnel's start
// if that is zero, as far as it is remembered.
func (c *Client) Traffic(ctx context.Context, since time.Time) (t tunnel.Traffic, err error) {
	path := "/v1/traffic"
	if !since.IsZero() {
		path += "?since=" + url.QueryEscape(since.Format(time.RFC3339Nano))
	}
	return t, c.get(ctx, path, &t)
}

func (s *Server) traffic(w http.ResponseWriter, r *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	var since time.Time
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = ParseSince(text, time.Now()); err != nil {
			return &Error{Message: err.Error(), Hint: "as in /v1/traffic?since=-10m", Code: http.StatusBadRequest}
		}
	}
	answer(w, http.StatusOK, t.Tunnel.Traffic(since))
	return nil
}
