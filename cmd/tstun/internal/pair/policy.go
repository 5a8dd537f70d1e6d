package pair

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"text/template"

	"tstun/policy"
)

//go:embed policy.tmpl
var policyText string

var policyTemplate = template.Must(template.New(PolicyFile).Parse(policyText))

// policyFor returns the policy of both ends. Its own tests hold.
func policyFor(ends *[2]End, fullTunnel bool) ([]byte, error) {
	first, second := &ends[0], &ends[1]
	width := max(len(first.Config.Name), len(second.Config.Name))
	var text bytes.Buffer
	err := policyTemplate.Execute(&text, map[string]any{
		"First": first.Config.Name, "Second": second.Config.Name,
		"FirstAddrs": quoted(first.Addrs), "SecondAddrs": quoted(second.Addrs),
		"FirstGap": strings.Repeat(" ", width-len(first.Config.Name)), "SecondGap": strings.Repeat(" ", width-len(second.Config.Name)),
		"FullTunnel": fullTunnel,
	})
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(PolicyFile, text.Bytes())
	if err != nil {
		return nil, err
	}
	failures, err := p.Test()
	for _, f := range failures {
		err = errors.Join(err, fmt.Errorf("%v", f))
	}
	return text.Bytes(), err
}

// quoted returns addresses as the strings of a list.
func quoted(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, fmt.Sprintf("%q", a))
	}
	return strings.Join(all, ", ")
}
