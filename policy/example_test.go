package policy_test

import (
	"fmt"

	"tstun/filter"
	"tstun/policy"
)

const webServer = `{
	"hosts":  {"web": "100.64.0.10", "laptop": "100.64.0.20"},
	"local":  "web",
	"accept": [{"proto": "tcp", "src": "*", "dst": "web:80,443"}], // not SSH
	"tests":  [{"src": "laptop", "accept": "web:443", "deny": "web:22"}],
}`

func Example() {
	p, err := policy.Parse("web.hujson", []byte(webServer))
	if err != nil {
		fmt.Println(err) // each error with file, line and column
		return
	}
	failures, err := p.Test()
	fmt.Println(failures, err)

	f, err := filter.New(p.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	flows, err := p.Flows("laptop", "web:22", "tcp")
	if err != nil {
		fmt.Println(err)
		return
	}
	to := flows[0]
	fmt.Println(f.Check(to.Src, to.Dst.Addr(), to.Dst.Port(), to.Proto))
	// Output:
	// [] <nil>
	// drop
}

func ExampleDiff() {
	old, _ := policy.Parse("old.hujson", []byte(`{"local": "100.64.0.1", "accept": [
		{"proto": "tcp", "src": "10.0.0.0/8", "dst": "100.64.0.1:22,80"},
	]}`))
	next, _ := policy.Parse("new.hujson", []byte(`{"local": "100.64.0.1", "accept": [
		{"proto": "tcp", "src": "10.0.0.0/8", "dst": "100.64.0.1:80"},
		{"proto": "tcp", "src": "10.1.0.0/16", "dst": "100.64.0.1:80-89"},
	]}`))
	changes, err := policy.Diff(old, next)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range changes {
		fmt.Println(c)
	}
	// Output:
	// becomes allowed: tcp from 10.1.0.0/16 to 100.64.0.1, ports 81-89
	// becomes denied: tcp from 10.0.0.0/8 to 100.64.0.1, port 22
}
