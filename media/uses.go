package media

import (
	_ "github.com/blackjack/webcam"
	_ "github.com/gen2brain/malgo"
	_ "github.com/pion/dtls/v3"
	_ "github.com/pion/ice/v4"
	_ "github.com/pion/interceptor"
	_ "github.com/pion/logging"
	_ "github.com/pion/mediadevices/pkg/codec/openh264"
	_ "github.com/pion/mediadevices/pkg/codec/opus"
	_ "github.com/pion/mediadevices/pkg/codec/vpx"
	_ "github.com/pion/mediadevices/pkg/frame"
	_ "github.com/pion/opus"
	_ "github.com/pion/rtcp"
	_ "github.com/pion/rtp"
	_ "github.com/pion/sdp/v3"
	_ "github.com/pion/stun/v4"
	_ "github.com/pion/transport/v5"
	_ "github.com/pion/turn/v5"
	_ "github.com/pion/webrtc/v4"
	_ "golang.org/x/image/font/basicfont"
)
