package localapi

import (
	"fmt"
	"io"
	"net"
	"testing"
)

func BenchmarkRaw(b *testing.B) {
	g := start(b, nil)
	body := `{"userId":"indoor","text":"hello"}`
	req := []byte(fmt.Sprintf("POST /v1/im/sendC2CTextMessage HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		c, _ := net.Dial("unix", g.sock)
		defer c.Close()
		buf := make([]byte, 4096)
		c.Write(req)
		n, _ := c.Read(buf)
		for p.Next() {
			c.Write(req)
			if _, err := io.ReadFull(c, buf[:n]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
