package tunqueue_test

import (
	"testing"

	"tstun/internal/tunqueue"
	"tstun/internal/tunqueue/queuetest"
)

// What FromFile finds is told to the log of AsDirect, in its order.
func TestDeferredLogKeepsLines(t *testing.T) {
	var l tunqueue.DeferredLog
	for i := range 100 {
		l.Logf("line %d", i)
	}
	var log queuetest.Log
	l.SendTo(log.Logf)
	l.Logf("100 %%")
	if len(log.Lines()) != 17 || log.Lines()[0] != "line 0" || log.Lines()[15] != "line 15" || log.Lines()[16] != "100 %" {
		t.Errorf("log\n%s", &log)
	}
}
