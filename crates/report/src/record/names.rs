//! The names that others have for our anomalies.
//!
//! Those who read EVE have rules and searches for the event names of its best known writer. Where that has a name for
//! the same thing, it stands in `anomaly.event`; our own name is in `anomaly.portcullis.name` of every anomaly.

use std::borrow::Cow;

use portcullis_wire::WireAnomaly;

/// The event name of an anomaly of a protocol, if there is an established one.
pub(crate) fn protocol_event(protocol: &str, name: &str) -> Option<&'static str> {
    Some(match (protocol, name) {
        ("smtp", "bdat_size") => "INVALID_BDAT",
        ("smtp", "data_refused") => "DATA_COMMAND_REJECTED",
        ("smtp", "early_data" | "starttls_injection") => "INVALID_PIPELINED_SEQUENCE",
        ("smtp", "greeting_refused") => "NO_SERVER_WELCOME_MESSAGE",
        ("smtp", "long_command") => "MAX_COMMAND_LINE_LEN_EXCEEDED",
        ("smtp", "long_line") => "MIME_LONG_LINE",
        ("smtp", "long_reply") => "MAX_REPLY_LINE_LEN_EXCEEDED",
        ("smtp", "odd_reply_code") => "INVALID_REPLY",
        ("smtp", "overrun") => "TRUNCATED_LINE",
        ("smtp", "unsolicited_reply") => "UNABLE_TO_MATCH_REPLY_WITH_REQUEST",
        ("dns", "answer_from_client" | "query_from_server") => "NOT_REQUEST",
        ("dns", "parse_error") => "MALFORMED_DATA",
        ("dns", "reserved_bit") => "Z_FLAG_SET",
        _ => return None,
    })
}

/// The event name of an anomaly of a stream.
pub(crate) fn stream_event(name: &str) -> Cow<'_, str> {
    Cow::Borrowed(match name {
        "ack_too_old" | "ack_unsent" => "stream.pkt_invalid_ack",
        "missing_ack_flag" => "stream.pkt_broken_ack",
        "out_of_window" => "stream.est_packet_out_of_window",
        "overlap_diff" => "stream.reassembly_overlap_different_data",
        "syn_ack_wrong_ack" => "stream.3whs_synack_with_wrong_ack",
        "syn_in_established" => "stream.est_syn_resend_diff_seq",
        _ => return Cow::Owned(format!("stream.{name}")),
    })
}

/// The event name of an anomaly of a packet.
pub(crate) fn wire_event(anomaly: WireAnomaly) -> Cow<'static, str> {
    Cow::Borrowed(match anomaly.name() {
        "fragment_overlap" => "decoder.ipv4.frag_overlap",
        "fragment_too_big" => "decoder.ipv4.frag_pkt_too_large",
        "tcp_data_offset" => "decoder.tcp.hlen_too_small",
        "tcp_header_truncated" => "decoder.tcp.pkt_too_small",
        "tcp_options_malformed" => "decoder.tcp.invalid_optlen",
        "udp_length" => "decoder.udp.len_invalid",
        "udp_truncated" => "decoder.udp.pkt_too_small",
        "vlan_nesting" => "decoder.vlan.too_many_layers",
        name => return Cow::Owned(format!("decoder.{name}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_established_name_keeps_ours() {
        assert_eq!(protocol_event("smtp", "bare_lf"), None);
        assert_eq!(protocol_event("smtp", "bdat_size"), Some("INVALID_BDAT"));
        assert_eq!(stream_event("urgent_data"), "stream.urgent_data");
        assert_eq!(wire_event(WireAnomaly::VlanNesting), "decoder.vlan.too_many_layers");
        assert_eq!(wire_event(WireAnomaly::CaptureCut), "decoder.capture_cut");
    }

    #[test]
    fn names_of_streams_and_packets_that_are_mapped_exist() {
        let streams: Vec<&str> = portcullis_stream::StreamAnomaly::ALL.iter().map(|kind| kind.name()).collect();
        for name in
            ["ack_too_old", "ack_unsent", "missing_ack_flag", "out_of_window", "overlap_diff", "syn_ack_wrong_ack"]
        {
            assert!(streams.contains(&name), "{name}");
        }
        let packets: Vec<&str> = WireAnomaly::ALL.iter().map(|kind| kind.name()).collect();
        for name in ["fragment_overlap", "tcp_data_offset", "tcp_options_malformed", "udp_length", "vlan_nesting"] {
            assert!(packets.contains(&name), "{name}");
        }
    }
}
