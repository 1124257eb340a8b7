export default [
  { text: 'Quickstart', link: './quickstart' },
  { text: 'Install NATS Manager', link: './install' },
  { text: 'Configure NATS', link: './configure' },
  { text: 'NATS Custom Resource', link: './01-05-nats-custom-resource' },
  { text: 'Access the NATS Servers', link: './01-10-access-nats-server' },
  { text: 'Frequently Asked Questions', link: './faq' },
  { text: 'High Availability and Size', link: './high-availability', collapsed: true, items: [
    { text: 'Size Streams, Volumes and Memory', link: './sizing' },
    { text: 'Scaling', link: './scaling' },
    { text: 'Place the Servers', link: './placement' },
    { text: 'Nodes That Drain, Rotate or Hibernate', link: './operations' }
    ] },
  { text: 'Storage', link: './storage', collapsed: true, items: [
    { text: 'Expand Volumes', link: './expand-volumes' },
    { text: 'Back Up and Restore Streams', link: './backup' },
    { text: 'Replace a Server', link: './replace-server' }
    ] },
  { text: 'Upgrades', link: './upgrades', collapsed: true, items: [
    { text: 'GitOps', link: './gitops' },
    { text: 'Pause Reconciliation', link: './pause' },
    { text: 'Compatibility', link: './compatibility' },
    { text: 'Take Over From the Go Manager', link: './takeover' },
    { text: 'Uninstall', link: './uninstall' }
    ] },
  { text: 'Security', link: './security', collapsed: true, items: [
    { text: 'Who May Do What', link: './permissions' },
    { text: 'Network Policies', link: './network-policies' },
    { text: 'Admission Webhook', link: './webhook' }
    ] },
  { text: 'Monitor NATS', link: './monitoring' },
  { text: 'Reference', collapsed: true, items: [
    { text: 'States, Conditions and Events', link: './conditions' },
    { text: 'Metrics, Alerts and Dashboards', link: './metrics' },
    { text: 'Annotations and Labels', link: './annotations' },
    { text: 'Flags and Environment Variables', link: './configuration' },
    { text: 'Rejected Changes', link: './refusals' }
    ] },
  { text: 'Troubleshooting', link: './troubleshooting/README', collapsed: true, items: [
    { text: 'General Diagnostics: NATS Module Readiness and Connectivity', link: './troubleshooting/03-05-nats-troubleshooting' },
    { text: 'Published Events Are Pending in the Stream', link: './troubleshooting/03-10-fix-pending-events' },
    { text: 'NATS Does Not Become Ready', link: './troubleshooting/not-ready' },
    { text: 'JetStream Is Not Healthy', link: './troubleshooting/jetstream-not-healthy' },
    { text: 'An Object Cannot Be Applied', link: './troubleshooting/objects-not-applied' },
    { text: 'NATS Manager Does Not React', link: './troubleshooting/manager-not-working' },
    { text: 'A Namespace Stays in Terminating', link: './troubleshooting/terminating-namespace' }
    ] }
];
