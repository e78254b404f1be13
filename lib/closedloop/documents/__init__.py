"""What salespeople and marketers read: playbook, brief and battlecard."""
