package control

import (
	"context"
	"net/http"

	"tstun/tunnel"
)

func (s *Server) policy(w http.ResponseWriter, _ *http.Request, t *Running) *Error {
	if t == nil {
		return s.starting()
	}
	answer(w, http.StatusOK, t.Tunnel.PolicyText())
	return nil
}

// Policy returns the file of the policy in force, as the tunnel read it.
func (c *Client) Policy(ctx context.Context) (p tunnel.PolicyText, err error) {
	return p, c.get(ctx, "/v1/policy", &p)
}
