package proxy

import (
	"context"
	"testing"
	"time"
)

// The outlet that was used longest ago gives way to one too many.
func TestOutletsBound(t *testing.T) {
	ended := make(chan string, 3)
	o := outlets[string]{max: 2, run: func(ctx context.Context, key string, ready func(func([]byte))) {
		ready(func([]byte) {})
		<-ctx.Done()
		ended <- key
	}}
	ctx, cancel := context.WithCancel(t.Context())
	for _, key := range []string{"a", "b", "a", "c"} {
		o.send(ctx, key, nil)
	}
	select {
	case key := <-ended:
		if key != "b" {
			t.Errorf("%s gave way", key)
		}
	case <-time.After(patience):
		t.Fatal("none gave way")
	}
	cancel()
	o.wait()
	if len(ended) != 2 || len(o.byKey) != 0 || o.recent.Len() != 0 {
		t.Errorf("%d ended, %d and %d are left", len(ended), len(o.byKey), o.recent.Len())
	}
}
