package control

import (
	"context"
	"fmt"
	"io"
)

// Goroutines returns what the goroutines of the tunnel's process do, as text, by stacks of
// functions without their arguments, which could be secrets.
func (c *Client) Goroutines(ctx context.Context) ([]byte, error) {
	resp, err := c.do(ctx, "GET", profiles+"goroutine?debug=1")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer of tunnel %s: %w", c.Name, err)
	}
	return text, nil
}
