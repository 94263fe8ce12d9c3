//! The loaded protocols and the ports they are expected on.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_grammar::Program;
use portcullis_lang::ProtocolScheme;
use portcullis_policy::ProtocolId;
use portcullis_stream::{Protocol, ServicePorts};

/// Loaded grammars. [`ProtocolId`]s count them in the order in which they were given.
#[derive(Debug, Default)]
pub struct Grammars {
    programs: Vec<Arc<Program>>,
    names: Vec<&'static str>,
    tcp: HashMap<u16, ProtocolId>,
    udp: HashMap<u16, ProtocolId>,
}

impl Grammars {
    /// Takes compiled grammars. Where two name the same port, the first has it.
    pub fn new(programs: Vec<Arc<Program>>) -> Grammars {
        let mut grammars = Grammars::default();
        for (index, program) in programs.iter().enumerate() {
            let Ok(id) = u16::try_from(index).map(ProtocolId) else { break };
            for transport in &program.protocol().transports {
                let ports = if transport.datagrams { &mut grammars.udp } else { &mut grammars.tcp };
                for port in &transport.ports {
                    ports.entry(*port).or_insert(id);
                }
            }
            // Grammars are loaded once a process, or on a reload: their names may live for ever, so that every flow and
            // every record can carry them for nothing.
            grammars.names.push(Box::leak(program.protocol().name.clone().into_boxed_str()));
        }
        grammars.programs = programs;
        grammars
    }

    /// The protocol expected on a server's port.
    pub fn on_port(&self, protocol: Protocol, port: u16) -> Option<ProtocolId> {
        match protocol {
            Protocol::Tcp => self.tcp.get(&port).copied(),
            Protocol::Udp => self.udp.get(&port).copied(),
        }
    }

    /// The program of a protocol.
    pub fn program(&self, id: ProtocolId) -> Option<&Arc<Program>> {
        self.programs.get(usize::from(id.0))
    }

    /// The name of a protocol.
    pub fn name(&self, id: ProtocolId) -> &'static str {
        self.names.get(usize::from(id.0)).copied().unwrap_or("")
    }

    /// The protocol of a name.
    pub fn by_name(&self, name: &str) -> Option<ProtocolId> {
        let index = self.names.iter().position(|other| *other == name)?;
        u16::try_from(index).ok().map(ProtocolId)
    }

    /// All protocols.
    pub fn iter(&self) -> impl Iterator<Item = (ProtocolId, &Arc<Program>)> {
        (0u16..).map(ProtocolId).zip(&self.programs)
    }

    /// The schemes, for compiling policies.
    pub fn schemes(&self) -> Vec<Arc<ProtocolScheme>> {
        self.programs.iter().map(|program| Arc::clone(&program.protocol().scheme)).collect()
    }

    /// All ports, to tell the sides of flows whose beginning was not seen.
    pub fn services(&self) -> ServicePorts {
        self.tcp.keys().chain(self.udp.keys()).copied().collect()
    }
}
